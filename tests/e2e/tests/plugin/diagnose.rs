//! `diagnose`: what is wrong, how that shows, and what to do.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Event;
use kube::api::{ListParams, PostParams};
use lws_api_types::keys::annotations;
use lws_api_types::set::StartupPolicy;
use lws_e2e::{DEADLINE, Fixture, Namespace};
use lws_harness::simulator::NEVER_READY;
use lws_harness::wait;
use serde_json::{Value, json};

use crate::{namespace, run, settled, text};

const DIAGNOSE: &[&str] = &["diagnose", "test-sample"];

/// What is found, and the exit code.
async fn found(namespace: &Namespace) -> Result<(Value, i32)> {
    let output = run(namespace, &[DIAGNOSE, &["--output", "json"]].concat()).await?;
    let report = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((report, output.status.code().context("it was killed")?))
}

/// Waits for a finding whose evidence has this part; the exit code is 1 then.
async fn expect(namespace: &Namespace, what: &str, evidence: &str) -> Result<()> {
    let has = |(report, code): &(Value, i32)| {
        let mut findings = report["findings"].as_array().into_iter().flatten();
        let is = |it: &Value| {
            it["what"] == what && it["evidence"].as_str().is_some_and(|it| it.contains(evidence))
        };
        findings.any(is) && *code == 1
    };
    let look = async || found(namespace).await;
    wait::until(DEADLINE, &format!("{what}: {evidence}"), look, has).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_wrong_with_a_healthy_set() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let text = text(set.namespace(), DIAGNOSE).await?;
    anyhow::ensure!(text == "Nothing wrong was found.\n", "{text}");
    let (report, code) = found(set.namespace()).await?;
    anyhow::ensure!(report == json!({"findings": [], "unchecked": []}) && code == 0, "{report}");
    Ok(())
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_found() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    set.break_image(0, 1).await?;
    expect(set.namespace(), "An image cannot be pulled", "example.org/broken").await
}

#[tokio::test]
async fn a_quota_that_is_exceeded_is_found() -> Result<()> {
    let namespace = namespace().await?;
    namespace.allow_pods(3).await?;
    namespace.create_set(&Fixture::default()).await?;
    expect(&namespace, "A quota is exceeded", "exceeded quota: pods").await?;
    let (report, _) = found(&namespace).await?;
    let findings = report["findings"].as_array().context("no findings")?;
    let quotas = findings.iter().filter(|it| it["what"] == "A quota is exceeded");
    anyhow::ensure!(quotas.count() == 1, "told twice: {report:#}");
    Ok(())
}

#[tokio::test]
async fn a_quota_that_is_used_up_by_a_healthy_set_is_not_wrong() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let pods = set.namespace().pods().list(&ListParams::default()).await?.items.len();
    set.namespace().allow_pods(pods.try_into()?).await?;
    let (report, code) = found(set.namespace()).await?;
    anyhow::ensure!(report["findings"] == json!([]) && code == 0, "{report:#}");
    Ok(())
}

#[tokio::test]
async fn a_foreign_service_is_found() -> Result<()> {
    let namespace = namespace().await?;
    namespace.create_foreign_service().await?;
    namespace.create_set(&Fixture::default()).await?;
    let what = "An object of somebody else has a name that the set needs";
    expect(&namespace, what, "Service test-sample is controlled by nobody").await
}

#[tokio::test]
async fn a_missing_topology_label_is_found() -> Result<()> {
    let namespace = namespace().await?;
    let key = "example.org/rack";
    let fixture = Fixture::default().annotation(annotations::EXCLUSIVE_TOPOLOGY, key);
    namespace.create_set(&fixture).await?;
    expect(&namespace, "No node has the topology label", "test-sample-0 finds no node").await?;
    // For a moment the status is not written yet, which is told too.
    let findings = async || Ok::<_, anyhow::Error>(found(&namespace).await?.0["findings"].take());
    let is_one = |it: &Value| it.as_array().is_some_and(|it| it.len() == 1);
    wait::until(DEADLINE, "it is told once", findings, is_one).await?;
    Ok(())
}

#[tokio::test]
async fn a_scheduler_that_does_not_run_is_found() -> Result<()> {
    let namespace = namespace().await?;
    let fixture = Fixture::default().pod_spec("schedulerName", &json!("nobody"));
    namespace.create_set(&fixture).await?;
    let evidence = "test-sample-0 has no node, and scheduler nobody does not say why";
    expect(&namespace, "No scheduler looks at a pod", evidence).await
}

#[tokio::test]
async fn a_leader_that_workers_wait_for_in_vain_is_found() -> Result<()> {
    let namespace = namespace().await?;
    let fixture = Fixture::default().replicas(1).startup_policy(StartupPolicy::LeaderReady);
    let set = namespace.create_set(&fixture.pod_annotation(NEVER_READY, "true")).await?;
    let leader = wait::eventually(DEADLINE, "the leader pod", async || {
        let pod = namespace.pods().get_opt(&set.group(0)).await?;
        Ok::<_, anyhow::Error>(pod.and_then(|it| it.metadata.uid))
    })
    .await?;
    // No probe is ever made here, so this is written in the name of a kubelet.
    let event = json!({
        "metadata": {"name": "unhealthy"}, "type": "Warning", "reason": "Unhealthy",
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "namespace": namespace.name(),
            "name": set.group(0), "uid": leader,
        },
        "message": "Readiness probe failed: 0 of 2 nodes joined",
    });
    namespace
        .api::<Event>()
        .create(&PostParams::default(), &serde_json::from_value(event)?)
        .await?;
    let evidence = "Readiness probe failed: 0 of 2 nodes joined; its workers wait until pod \
                    test-sample-0 is ready (startupPolicy LeaderReady)";
    expect(&namespace, "The workers wait for their leader", evidence).await
}

#[tokio::test]
async fn a_set_that_does_not_exist_is_an_error() -> Result<()> {
    let (message, code) = crate::complaint(&namespace().await?, DIAGNOSE).await?;
    anyhow::ensure!(
        message.starts_with("Error from server (NotFound): ") && code == 1,
        "{message}"
    );
    Ok(())
}
