//! The pods of a group end together, whoever deletes its leader: one grace period, not two.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use lws_api_types::set::RestartPolicy;
use lws_e2e::recording::{Change, Recording};
use lws_e2e::stand_in::uid;
use lws_e2e::{DEADLINE, Fixture, TestSet};
use lws_harness::simulator::TERMINATE_AFTER;
use lws_harness::wait;

use crate::{ENVIRONMENT, ONE_BY_ONE, environment, settle_in};

/// Two groups of three pods, each of which takes its time to end.
fn slow() -> Fixture {
    Fixture::default().size(3).pod_annotation(TERMINATE_AFTER, "2s")
}

/// The UIDs of a group's pods, the leader first.
async fn group(set: &TestSet, index: i32) -> Result<Vec<String>> {
    let pods = set.namespace().pods();
    let mut uids = Vec::new();
    for name in [set.group(index), set.worker(index, 1), set.worker(index, 2)] {
        uids.push(uid(&pods.get(&name).await?));
    }
    Ok(uids)
}

/// Waits until the pods with these UIDs are gone, and makes sure that the workers had begun to end before their leader
/// was gone.
async fn ended_together(recording: &Recording<Pod>, pods: &[String]) -> Result<()> {
    let gone = async || {
        let mut gone: BTreeMap<String, usize> = BTreeMap::new();
        let mut ending: BTreeMap<String, usize> = BTreeMap::new();
        for (moment, change) in recording.so_far()?.into_iter().enumerate() {
            match change {
                Change::Gone(pod) => drop(gone.insert(uid(&pod), moment)),
                Change::Now(pod) if pod.metadata.deletion_timestamp.is_some() => {
                    ending.entry(uid(&pod)).or_insert(moment);
                }
                Change::Now(_) => {}
            }
        }
        Ok::<_, anyhow::Error>((gone, ending))
    };
    let all_gone = |(gone, _): &(BTreeMap<_, _>, _)| pods.iter().all(|it| gone.contains_key(it));
    let (gone, ending) = wait::until(DEADLINE, "the former pods are gone", gone, all_gone).await?;
    let [leader, workers @ ..] = pods else { anyhow::bail!("no pods") };
    let leader_gone = gone.get(leader).context("the leader is gone")?;
    for worker in workers {
        let began = ending.get(worker).context("the worker was told to end")?;
        anyhow::ensure!(began < leader_gone, "a worker began to end after its leader was gone");
    }
    Ok(())
}

#[tokio::test]
async fn workers_end_with_a_leader_that_a_user_deletes_whatever_the_policy() -> Result<()> {
    for policy in [RestartPolicy::None, RestartPolicy::RecreateGroupOnPodRestart] {
        let namespace = environment(&ONE_BY_ONE)?.namespace().await?;
        let set = settle_in(&namespace, slow().restart_policy(policy)).await?;
        let pods = group(&set, 0).await?;
        let recording = Recording::start(&namespace).await?;
        namespace.pods().delete(&set.group(0), &DeleteParams::default()).await?;
        ended_together(&recording, &pods).await?;
        set.done(2).await?;
        let told = namespace.recreations().await?;
        anyhow::ensure!(told.is_empty(), "{told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn workers_end_with_a_leader_that_is_scaled_away() -> Result<()> {
    let namespace = environment(&ONE_BY_ONE)?.namespace().await?;
    let set = settle_in(&namespace, slow()).await?;
    let pods = group(&set, 1).await?;
    let recording = Recording::start(&namespace).await?;
    set.scale(1).await?;
    ended_together(&recording, &pods).await?;
    set.done(1).await
}

#[tokio::test]
async fn workers_end_with_a_leader_that_is_updated() -> Result<()> {
    let namespace = environment(&ENVIRONMENT)?.namespace().await?;
    let set = settle_in(&namespace, slow().max_unavailable(2)).await?;
    let pods = [group(&set, 0).await?, group(&set, 1).await?];
    let recording = Recording::start(&namespace).await?;
    set.change_workers("example.org/new").await?;
    for pods in &pods {
        ended_together(&recording, pods).await?;
    }
    set.done(2).await
}
