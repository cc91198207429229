//! Sets from their creation to their end.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, PropagationPolicy};
use lws_api_types::keys::{env, labels};
use lws_api_types::set::{StartupPolicy, SubdomainPolicy};
use lws_e2e::{DEADLINE, Fixture, TestSet};
use lws_harness::wait;

use crate::{namespace, settle};

/// The pods of the set at its current revision, by name.
async fn pods(set: &TestSet) -> Result<BTreeMap<String, Pod>> {
    let key = set.key().await?;
    let all: Vec<Pod> = set.namespace().all().await?;
    let current = all.into_iter().filter(|pod| pod.labels().get(labels::REVISION) == Some(&key));
    Ok(current.map(|pod| (pod.name_any(), pod)).collect())
}

/// The variables of the first container.
fn variables(pod: &Pod) -> Option<BTreeMap<String, String>> {
    let container = pod.spec.as_ref()?.containers.first()?;
    let pairs = container.env.iter().flatten().cloned();
    Some(pairs.map(|it| (it.name, it.value.unwrap_or_default())).collect())
}

async fn expect_variables(set: &TestSet, subdomain: impl Fn(i32) -> String) -> Result<()> {
    let pods = pods(set).await?;
    let names: Vec<_> = pods.keys().map(String::as_str).collect();
    let expected =
        [0, 1].map(|group| [set.group(group), set.worker(group, 1), set.worker(group, 2)]);
    anyhow::ensure!(names == expected.concat(), "{names:?}");
    for (name, pod) in &pods {
        let group: i32 = pod.labels().get(labels::GROUP_INDEX).context("no group")?.parse()?;
        let index = pod.labels().get(labels::WORKER_INDEX).context("no index")?;
        let namespace = set.namespace().name();
        let address = format!("{}.{}.{namespace}", set.group(group), subdomain(group));
        let expected =
            [(env::LEADER_ADDRESS, &*address), (env::GROUP_SIZE, "3"), (env::WORKER_INDEX, index)];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        anyhow::ensure!(variables(pod) == Some(expected.into()), "{name}: {:?}", variables(pod));
    }
    Ok(())
}

#[tokio::test]
async fn groups_come_up_with_their_variables() -> Result<()> {
    let set = settle(Fixture::default().size(3)).await?;
    set.done(2).await?;
    set.valid_services(1).await?;
    expect_variables(&set, |_| set.name().to_owned()).await
}

#[tokio::test]
async fn groups_with_a_service_each_are_told_its_name() -> Result<()> {
    let fixture = Fixture::default()
        .size(3)
        .subdomain_policy(SubdomainPolicy::UniquePerReplica)
        .startup_policy(StartupPolicy::LeaderReady);
    let set = settle(fixture).await?;
    set.done(2).await?;
    set.valid_services(2).await?;
    expect_variables(&set, |group| set.group(group)).await
}

#[tokio::test]
async fn a_set_can_be_scaled_to_zero_and_back() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    set.scale(0).await?;
    set.expect("available p0 r0 (0/0)").await?;
    let gone = async || Ok::<_, anyhow::Error>(set.namespace().all::<Pod>().await?.len());
    wait::until(DEADLINE, "no pods", gone, |seen| *seen == 0).await?;
    set.scale(2).await?;
    set.done(2).await
}

#[tokio::test]
async fn claims_come_with_every_pod_and_go_as_the_set_says() -> Result<()> {
    let set = namespace().await?.create_set(&Fixture::default().claim("data")).await?;
    let claims = async || {
        let all: Vec<PersistentVolumeClaim> = set.namespace().all().await?;
        Ok::<_, anyhow::Error>(all.iter().map(ResourceExt::name_any).collect::<Vec<_>>())
    };
    // Nobody provides volumes, so the pods stay pending.
    let expect = async |expected: &[&str]| -> Result<()> {
        let is = |seen: &Vec<String>| seen == expected;
        wait::until(DEADLINE, &format!("claims {expected:?}"), claims, is).await?;
        Ok(())
    };
    let [first, second] = [0, 1].map(|it| format!("data-{}", set.group(it)));
    let [worker_of_first, worker_of_second] =
        [0, 1].map(|it| format!("data-{}", set.worker(it, 1)));
    expect(&[&first, &worker_of_first, &second, &worker_of_second]).await?;
    set.scale(1).await?;
    // The claim of a worker stays: its StatefulSet is deleted, not scaled.
    expect(&[&first, &worker_of_first, &worker_of_second]).await?;
    set.scale(2).await?;
    expect(&[&first, &worker_of_first, &second, &worker_of_second]).await
}

#[tokio::test]
async fn groups_can_grow_and_shrink() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    for size in [3, 1, 2] {
        set.update(|it| it.spec.leader_worker_template.size = Some(size)).await?;
        set.done(2).await?;
        let count = pods(&set).await?.len();
        anyhow::ensure!(i32::try_from(count)? == 2 * size, "{count} pods of size {size}");
        set.expect_revisions(1).await?;
    }
    Ok(())
}

async fn everything_goes(policy: PropagationPolicy) -> Result<()> {
    let fixture = Fixture::default().subdomain_policy(SubdomainPolicy::UniquePerReplica);
    let set = settle(fixture).await?;
    let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
    set.namespace().sets().delete(set.name(), &params).await?;
    set.namespace().nothing_is_left().await
}

#[tokio::test]
async fn a_deleted_set_takes_everything_with_it() -> Result<()> {
    everything_goes(PropagationPolicy::Background).await
}

#[tokio::test]
async fn a_set_that_is_deleted_last_takes_everything_with_it() -> Result<()> {
    everything_goes(PropagationPolicy::Foreground).await
}

#[tokio::test]
async fn a_set_that_is_created_again_at_once_becomes_available() -> Result<()> {
    let set = settle(Fixture::default()).await?;
    let former = set.live().await?.uid().to_owned();
    set.namespace().sets().delete(set.name(), &DeleteParams::background()).await?;
    set.create(&Fixture::default()).await?;
    anyhow::ensure!(set.live().await?.uid() != former);
    set.done(2).await?;
    set.valid_services(1).await?;
    set.expect_revisions(1).await
}
