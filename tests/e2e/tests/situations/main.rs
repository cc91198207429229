//! Situations in which a set does not serve, and that whoever looks is told why: by `kubectl describe`, by metrics and by
//! `kubectl lws diagnose`.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use lws_api_types::keys::annotations;
use lws_e2e::metrics::Scrape;
use lws_e2e::plugin::plugin;
use lws_e2e::{DEADLINE, Environment, Fixture, Namespace, TestSet};
use lws_harness::system::SystemOptions;
use lws_harness::{ClusterOptions, wait};
use serde_json::{Value, json};

const NODES: usize = 4;
/// The label of the topology that no node is in.
const RACK: &str = "example.org/rack";

static ENVIRONMENT: LazyLock<Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "situations",
        ClusterOptions {
            nodes: NODES,
            ready_delay: Duration::from_millis(200),
            ..ClusterOptions::default()
        },
        SystemOptions::default(),
    )
});

fn environment() -> Result<&'static Environment> {
    match &*ENVIRONMENT {
        Ok(environment) => Ok(environment),
        Err(error) => anyhow::bail!("no environment: {error:#}"),
    }
}

/// What is told of a set.
struct Told {
    /// Condition and event: the reason, and a part of the text.
    reason: &'static str,
    text: String,
    /// Label `cause` of the metrics.
    cause: &'static str,
    /// The finding of `diagnose`, a part of its evidence, and one of what to do.
    finding: &'static str,
    evidence: String,
    advice: &'static str,
}

#[tokio::test]
async fn whoever_looks_is_told_why_a_set_does_not_serve() -> Result<()> {
    let nodes = async {
        let set = no_topology().await?;
        cure_topology(&set).await
    };
    tokio::try_join!(image(), quota(), foreign_service(), nodes)?;
    webhook_down().await
}

/// The image of a worker cannot be pulled.
async fn image() -> Result<()> {
    let set = settled().await?;
    set.break_image(0, 1).await?;
    expect(
        &set,
        &Told {
            reason: "ImagePullFailed",
            text: format!(
                "pod {}: the image example.org/broken of container worker cannot be pulled",
                set.worker(0, 1)
            ),
            cause: "image_pull",
            finding: "An image cannot be pulled",
            evidence: "example.org/broken".to_owned(),
            advice: "imagePullSecrets",
        },
    )
    .await
}

/// The quota permits three of four pods.
async fn quota() -> Result<()> {
    let namespace = environment()?.namespace().await?;
    namespace.allow_pods(3).await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    expect(
        &set,
        &Told {
            reason: "FailedCreate",
            text: "exceeded quota: pods".to_owned(),
            cause: "quota",
            finding: "A quota is exceeded",
            evidence: "exceeded quota: pods".to_owned(),
            advice: "raise the quota",
        },
    )
    .await
}

/// A Service of somebody else has the name of the set's.
async fn foreign_service() -> Result<()> {
    let namespace = environment()?.namespace().await?;
    namespace.create_foreign_service().await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    expect(
        &set,
        &Told {
            reason: "FailedCreate",
            text: "service test-sample exists and is controlled by nobody".to_owned(),
            cause: "name_taken",
            finding: "An object of somebody else has a name that the set needs",
            evidence: "Service test-sample is controlled by nobody".to_owned(),
            advice: "kubectl delete service test-sample",
        },
    )
    .await
}

/// Groups are to have a rack each, and no node is in any.
async fn no_topology() -> Result<TestSet> {
    let namespace = environment()?.namespace().await?;
    let fixture = Fixture::default().annotation(annotations::EXCLUSIVE_TOPOLOGY, RACK);
    let set = namespace.create_set(&fixture).await?;
    expect(
        &set,
        &Told {
            reason: "TopologyLabelMissing",
            text: format!("finds no node: none has the label {RACK} that annotation"),
            cause: "topology_label",
            finding: "No node has the topology label",
            evidence: format!("no node has label {RACK}"),
            advice: "kubectl label node",
        },
    )
    .await?;
    Ok(set)
}

/// Once nodes are in racks, nothing is told any more.
async fn cure_topology(set: &TestSet) -> Result<()> {
    let nodes: Api<Node> = Api::all(set.namespace().client());
    for (rack, node) in
        nodes.list_metadata(&kube::api::ListParams::default()).await?.items.iter().enumerate()
    {
        let label = json!({"metadata": {"labels": {RACK: format!("rack-{}", rack % 2)}}});
        nodes
            .patch_metadata(&node.name_any(), &PatchParams::default(), &Patch::Merge(label))
            .await?;
    }
    set.expect_conditions("available").await?;
    set.expect_no_failure().await?;
    let namespace = set.namespace().name();
    let named = format!("namespace=\"{namespace}\"");
    let gone = async || {
        let seen = scrape().await?;
        let of_set = seen.starting_with("lws_set_").filter(|(it, _)| it.contains(&named));
        Ok::<_, anyhow::Error>(of_set.map(|(it, _)| it.to_owned()).collect::<Vec<_>>())
    };
    wait::until(DEADLINE, "no series of the set", gone, Vec::is_empty).await?;
    let report = diagnose(set).await?;
    ensure!(report.get("findings") == Some(&json!([])), "{report:#}");
    Ok(())
}

/// The webhook does not run when the leader of a group has to be made anew.
async fn webhook_down() -> Result<()> {
    let set = settled().await?;
    environment()?.system().await.webhook()?.process().kill().await?;
    set.namespace().pods().delete(&set.group(1), &DeleteParams::default()).await?;
    expect(
        &set,
        &Told {
            reason: "FailedCreate",
            text: "failed calling webhook \"mpod.kb.io\"".to_owned(),
            cause: "webhook",
            finding: "An admission webhook does not answer",
            evidence: "failed calling webhook \"mpod.kb.io\"".to_owned(),
            advice: "see whether the pods behind the webhook run",
        },
    )
    .await
}

/// A set of two groups of two pods, all of them ready.
async fn settled() -> Result<TestSet> {
    let set = environment()?.namespace().await?.create_set(&Fixture::default()).await?;
    set.created_leader_set().await?;
    set.expect_conditions("available").await?;
    Ok(set)
}

/// Waits until all who can be asked tell this of `set`.
async fn expect(set: &TestSet, told: &Told) -> Result<()> {
    let Told { reason, text, cause, finding, evidence, advice } = told;
    let look = async || {
        let text = describe(set.namespace(), set.name()).await?;
        let (conditions, events) = text.split_once("\nEvents:").context("no events")?;
        Ok::<_, anyhow::Error>((unwrapped(conditions), unwrapped(events)))
    };
    let is_told = |(conditions, events): &(String, String)| {
        [conditions, events].into_iter().all(|it| it.contains(reason) && it.contains(text))
    };
    wait::until(DEADLINE, &format!("kubectl describe: {reason}: {text}"), look, is_told).await?;

    let namespace = set.namespace().name();
    let series = format!(
        "lws_set_hindered{{cause=\"{cause}\",name=\"{}\",namespace=\"{namespace}\"}}",
        set.name()
    );
    let all = format!("lws_sets_hindered{{cause=\"{cause}\"}}");
    let is_shown =
        |it: &Scrape| it.value(&series) == Some(1.0) && it.value(&all).is_some_and(|it| it >= 1.0);
    wait::until(DEADLINE, &series, scrape, is_shown).await?;

    let report = diagnose(set).await?;
    let mut findings = report.get("findings").and_then(Value::as_array).into_iter().flatten();
    let has = |it: &Value, field: &str, part: &str| {
        it.get(field).and_then(Value::as_str).is_some_and(|it| it.contains(part))
    };
    let is_found = findings.any(|it| {
        has(it, "what", finding) && has(it, "evidence", evidence) && has(it, "advice", advice)
    });
    ensure!(is_found, "{finding}: {report:#}");
    Ok(())
}

async fn describe(namespace: &Namespace, name: &str) -> Result<String> {
    let args = ["describe", "leaderworkerset", name, "--namespace", namespace.name()];
    let output = environment()?.cluster().kubectl(&args).await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The text with its lines joined: `kubectl` wraps long ones.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn scrape() -> Result<Scrape> {
    Scrape::of_controller(&mut *environment()?.system().await).await
}

async fn diagnose(set: &TestSet) -> Result<Value> {
    let arguments = ["diagnose", set.name(), "--output", "json"];
    let output = plugin(environment()?.cluster(), set.namespace(), &arguments)?.output().await?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
