//! One of two replicas of the webhook is killed while pods are created. Creations that fail are tried again, as a
//! `StatefulSet` controller does, and all of them succeed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use lws_e2e::webhooks::{Webhooks, admits, shipped};
use lws_harness::system::{Certificates, System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How many create pods at the same time.
const CLIENTS: usize = 8;
/// How long they do, and when the replica is killed.
const DURATION: Duration = Duration::from_secs(10);
const KILLED_AFTER: Duration = Duration::from_secs(3);
/// The first pause before a creation is tried again; each further one is twice as long, up to the second.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];
/// Counts the pods that a replica has admitted.
const ADMITTED: &str =
    r#"lws_webhook_reviews_total{operation="CREATE",outcome="patched",webhook="/mutate--v1-pod"}"#;
/// How many the one that is killed must have admitted in so long before: without load it would cost nothing.
const LEAST: f64 = 10.0;
const LOADED: Duration = Duration::from_secs(1);
/// No creation may take longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A pod that was created.
struct Creation {
    /// How long it took.
    took: Duration,
    /// When it was refused.
    refused: Vec<Instant>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_creation_succeeds_while_one_of_two_webhooks_is_killed() -> Result<()> {
    let options = ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await?;
    let options = SystemOptions {
        webhook: false,
        certificates: Certificates::OfController,
        ..SystemOptions::default()
    };
    let _system = System::install(&cluster, &options).await?;
    let webhooks = Webhooks::start(&cluster, &[Duration::ZERO; 2]).await?;
    webhooks.register(&cluster, shipped()?).await?;
    webhooks.ready().await?;
    admits(cluster.client()).await?;

    let replica = webhooks.replicas().first().context("no replica")?;
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(create_pods(cluster.client(), number, began + DURATION));
    }
    let admitted =
        async || replica.scrape().await?.value(ADMITTED).context("it does not count pods");
    sleep(KILLED_AFTER.saturating_sub(LOADED)).await;
    let before = admitted().await?;
    sleep(LOADED).await;
    let admitted = admitted().await? - before;
    // Its connections break before it is known to have ended.
    let killed = Instant::now();
    replica.kill().await?;
    let mut creations = Vec::new();
    while let Some(created) = clients.join_next().await {
        creations.extend(created??);
    }

    let refused: Vec<_> = creations.iter().flat_map(|it| &it.refused).collect();
    let early: Vec<_> = refused.iter().filter(|it| ***it < killed).collect();
    ensure!(early.is_empty(), "{} were refused before a replica was killed", early.len());
    let recovery = refused.iter().map(|it| it.duration_since(killed)).max();
    let recovery =
        recovery.map(|it| format!(", the last {it:.0?} after the kill")).unwrap_or_default();
    let again = creations.iter().filter(|it| !it.refused.is_empty()).count();
    let longest = creations.iter().map(|it| it.took).max().unwrap_or_default();
    let summary = format!(
        "{} pods were created while one of two replicas was killed, which had admitted {admitted} in the second before; \
         {again} had to be tried again{recovery}; the longest took {longest:.0?}",
        creations.len()
    );
    #[allow(clippy::print_stdout, reason = "for people who run it with --nocapture")]
    {
        println!("{summary}");
    }
    ensure!(creations.len() >= 100, "too little load: {summary}");
    ensure!(admitted >= LEAST, "the replica that was killed had no load: {summary}");
    // It serves again.
    webhooks.ready().await
}

/// Creates one pod after the other.
async fn create_pods(client: Client, number: usize, end: Instant) -> Result<Vec<Creation>> {
    let api: Api<Pod> = Api::default_namespaced(client);
    let mut creations = Vec::new();
    while Instant::now() < end {
        let name = format!("load-{number}-{}", creations.len());
        creations.push(create_pod(&api, &name).await.with_context(|| name.clone())?);
    }
    Ok(creations)
}

async fn create_pod(api: &Api<Pod>, name: &str) -> Result<Creation> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "labels": {
                "leaderworkerset.sigs.k8s.io/name": "load",
                "leaderworkerset.sigs.k8s.io/worker-index": "0",
            },
            "annotations": {"leaderworkerset.sigs.k8s.io/size": "1"},
        },
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }))?;
    let began = Instant::now();
    let (mut refused, mut pause) = (Vec::new(), PAUSES[0]);
    loop {
        match api.create(&PostParams::default(), &pod).await {
            Ok(created) => {
                let containers = created.spec.unwrap_or_default().containers;
                let is_admitted = containers.iter().any(|it| it.env.is_some());
                ensure!(is_admitted, "created, but not admitted");
                let took = began.elapsed();
                ensure!(took < PATIENCE, "created only after {took:?}");
                return Ok(Creation { took, refused });
            }
            Err(error) => {
                ensure!(began.elapsed() < PATIENCE, "{error}");
                refused.push(Instant::now());
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES[1]);
            }
        }
    }
}
