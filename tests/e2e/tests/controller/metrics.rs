//! What the controller measures.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, PostParams};
use lws_api_types::set::RestartPolicy::RecreateGroupOnPodRestart;
use lws_documentation::{cells, messages, section};
use lws_e2e::metrics::Scrape;
use lws_e2e::{DEADLINE, Fixture, TestSet, set};
use lws_harness::wait;
use serde_json::json;

use crate::restart::with_all_pods;
use crate::{create, environment};

async fn scrape() -> Result<Scrape> {
    Scrape::of_controller(&mut *environment()?.system().await).await
}

/// A set of one group, of which a worker is being deleted.
async fn failed() -> Result<TestSet> {
    let fixture = Fixture::default().replicas(1).size(2).restart_policy(RecreateGroupOnPodRestart);
    let set = with_all_pods(fixture).await?;
    set.begin_to_delete_pod(&set.worker(0, 1)).await?;
    Ok(set)
}

/// A set whose Service has the name of somebody else's.
async fn hindered() -> Result<TestSet> {
    let namespace = environment()?.namespace().await?;
    let service = json!({"metadata": {"name": "test-sample"}, "spec": {"ports": [{"port": 80}]}});
    let service: Service = serde_json::from_value(service)?;
    namespace.services().create(&PostParams::default(), &service).await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.expect_failure(&["exists and is controlled by nobody"]).await?;
    Ok(set)
}

/// A set in a rollout that does not come to an end, because nobody plays its `StatefulSet`s.
async fn updating() -> Result<TestSet> {
    let set = create(Fixture::default()).await?;
    set.all_ready().await?;
    set.done(2).await?;
    set.change_workers("example.org/other").await?;
    set.expect_conditions("rolling").await?;
    Ok(set)
}

/// The series of the groups of a set that have failed.
async fn failures(set: &TestSet) -> Result<Vec<(String, f64)>> {
    let scrape = scrape().await?;
    let namespace = format!("namespace=\"{}\"", set.namespace().name());
    let series = scrape.starting_with("lws_group_failures{");
    let of_set = series.filter(|(it, _)| it.contains(&namespace));
    Ok(of_set.map(|(it, value)| (it.to_owned(), value)).collect())
}

#[tokio::test]
async fn a_group_has_a_series_while_it_is_failing_and_there_is_its_set() -> Result<()> {
    let set = failed().await?;
    let namespace = set.namespace().name();
    let series = format!(
        "lws_group_failures{{cause=\"pod_deleted\",group=\"0\",name=\"test-sample\",namespace=\"{namespace}\"}}"
    );
    let expected = vec![(series, 1.0)];
    wait::until(DEADLINE, "a series", async || failures(&set).await, |it| *it == expected).await?;
    set.namespace().sets().delete(set.name(), &DeleteParams::background()).await?;
    wait::until(DEADLINE, "no series", async || failures(&set).await, Vec::is_empty).await?;
    Ok(())
}

#[tokio::test]
async fn a_group_that_has_not_failed_has_no_series() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.all_ready().await?;
    set.done(2).await?;
    set::stays(async || {
        let seen = failures(&set).await?;
        anyhow::ensure!(seen.is_empty(), "{seen:?}");
        Ok(())
    })
    .await
}

/// The documented metrics of a controller, with their types and labels.
fn documented() -> Result<BTreeMap<String, (String, BTreeSet<String>)>> {
    let text = include_str!("../../../../docs/metrics-reference.md");
    let mut documented = BTreeMap::new();
    for heading in ["Of both processes", "Of the controller"] {
        let section = section(text, heading).context(heading)?;
        for row in section.lines().filter_map(cells) {
            let [name, kind, labels, ..] = *row else { continue };
            let labels: BTreeSet<_> = messages(labels).map(str::to_owned).collect();
            let of_name = |it: &str| (it.to_owned(), (kind.to_owned(), labels.clone()));
            documented.extend(messages(name).map(of_name));
        }
    }
    Ok(documented)
}

#[tokio::test]
async fn the_metrics_that_there_are_are_those_that_are_documented() -> Result<()> {
    // Of a certificate, and of a group that has failed, there is a metric once there is one.
    let secret =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/webhook/certificate-secret.yaml");
    let applied =
        environment()?.cluster().kubectl(&["apply", "--server-side", "-f", secret]).await?;
    anyhow::ensure!(applied.status.success(), "{applied:?}");
    let _set = failed().await?;
    let _hindered = hindered().await?;
    let _updating = updating().await?;
    let documented = documented()?;
    anyhow::ensure!(documented.len() > 30, "the tables are not read: {documented:?}");
    let is_complete = |seen: &Scrape| {
        let seen = seen.metrics();
        documented.keys().all(|name| seen.contains_key(name))
    };
    let seen = wait::until(DEADLINE, "all metrics", scrape, is_complete).await?.metrics();
    for (name, (kind, labels)) in &seen {
        let expected = documented.get(name).with_context(|| format!("{name} is not documented"))?;
        anyhow::ensure!(*expected == (kind.clone(), labels.clone()), "{name}: {kind} {labels:?}");
    }
    Ok(())
}

#[tokio::test]
async fn requests_and_reconciles_are_counted() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.all_ready().await?;
    set.done(2).await?;
    let seen = scrape().await?;
    let requests: Vec<_> = seen.starting_with("rest_client_requests_total{").collect();
    for part in ["code=\"201\"", "method=\"PATCH\"", "host=\"127.0.0.1:"] {
        let is_counted = |(series, count): &(&str, f64)| series.contains(part) && *count > 0.0;
        anyhow::ensure!(requests.iter().any(is_counted), "{part}: {requests:?}");
    }
    for series in [
        "lws_api_requests_total{code=\"201\",resource=\"controllerrevisions\",verb=\"create\"}",
        "lws_api_requests_total{code=\"200\",resource=\"leaderworkersets\",verb=\"update\"}",
    ] {
        anyhow::ensure!(seen.value(series).is_some_and(|it| it > 0.0), "{series}: {seen:?}");
    }
    for resource in ["leaderworkersets", "statefulsets", "pods", "controllerrevisions"] {
        let [objects, bytes] = ["objects", "bytes"].map(|it| {
            seen.value(&format!("lws_cache_{it}{{resource=\"{resource}\"}}")).unwrap_or_default()
        });
        // Names, UIDs and owners alone take that much.
        anyhow::ensure!(
            objects > 0.0 && bytes > 100.0 * objects,
            "{resource}: {bytes} in {objects}"
        );
    }
    let of_controller = "controller=\"leaderworkerset\"";
    let of_queue = format!("{{{of_controller},name=\"leaderworkerset\"}}");
    for series in [
        format!("controller_runtime_reconcile_total{{{of_controller},result=\"success\"}}"),
        format!("controller_runtime_reconcile_time_seconds_count{{{of_controller}}}"),
        format!("workqueue_adds_total{of_queue}"),
        format!("workqueue_queue_duration_seconds_count{of_queue}"),
        format!("workqueue_work_duration_seconds_count{of_queue}"),
    ] {
        anyhow::ensure!(seen.value(&series).is_some_and(|it| it > 0.0), "{series}: {seen:?}");
    }
    let workers = format!("controller_runtime_max_concurrent_reconciles{{{of_controller}}}");
    anyhow::ensure!(seen.value(&workers) == Some(8.0), "{:?}", seen.value(&workers));
    let leads = "leader_election_master_status{name=\"b8b2488c.x-k8s.io\"}";
    anyhow::ensure!(seen.value(leads) == Some(1.0), "{:?}", seen.value(leads));
    Ok(())
}
