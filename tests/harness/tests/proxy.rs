//! The proxy in front of a real API server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use lws_harness::proxy::{Effect, Failure, Proxy, Rule};
use lws_harness::{Cluster, ClusterOptions};
use serde_json::json;
use tokio::time::{Instant, timeout};

/// Things take milliseconds on an idle machine.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long is looked for what must not come.
const QUIET: Duration = Duration::from_millis(500);

struct World {
    cluster: Cluster,
    proxy: Proxy,
    /// Through the proxy.
    maps: Api<ConfigMap>,
    /// Past it.
    truth: Api<ConfigMap>,
}

async fn world() -> World {
    let options = ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await.unwrap();
    let proxy = cluster.proxy("tested").await.unwrap();
    let mut kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let access = kubeconfig.clusters.first_mut().unwrap().cluster.as_mut().unwrap();
    access.server = Some(proxy.url().to_owned());
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    config.default_retry = false;
    let maps = Api::default_namespaced(Client::try_from(config).unwrap());
    let truth = Api::default_namespaced(cluster.client());
    World { cluster, proxy, maps, truth }
}

impl World {
    async fn create(&self, name: &str) -> kube::Result<ConfigMap> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let map = ConfigMap { metadata, ..ConfigMap::default() };
        self.maps.create(&PostParams::default(), &map).await
    }

    async fn exists(&self, name: &str) -> bool {
        self.truth.get_opt(name).await.unwrap().is_some()
    }

    /// The names that a watch tells of from now on.
    async fn watch(&self) -> impl Stream<Item = kube::Result<String>> + use<> {
        let list = self.truth.list(&ListParams::default()).await.unwrap();
        let version = list.metadata.resource_version.unwrap();
        let events = self.maps.watch(&WatchParams::default(), &version).await.unwrap().boxed();
        events.map(|event| {
            Ok(match event? {
                WatchEvent::Added(it) | WatchEvent::Modified(it) => it.metadata.name.unwrap(),
                WatchEvent::Error(status) => format!("error {}", status.code),
                other => panic!("{other:?}"),
            })
        })
    }
}

fn code(answer: kube::Result<ConfigMap>) -> Option<u16> {
    match answer {
        Ok(_) => Some(200),
        Err(kube::Error::Api(status)) => Some(status.code),
        Err(_) => None,
    }
}

async fn next(events: &mut (impl Stream<Item = kube::Result<String>> + Unpin)) -> Option<String> {
    let event = timeout(DEADLINE, events.next()).await.expect("an event, or the end")?;
    Some(event.expect("an event"))
}

/// The client library takes some broken streams for ended ones.
async fn ensure_ended(events: &mut (impl Stream<Item = kube::Result<String>> + Unpin)) {
    let event = timeout(DEADLINE, events.next()).await.expect("the end");
    assert!(!matches!(event, Some(Ok(_))), "{event:?}");
}

async fn ensure_silent(events: &mut (impl Stream<Item = kube::Result<String>> + Unpin)) {
    let event = timeout(QUIET, events.next()).await;
    assert!(event.is_err(), "{event:?}");
}

#[tokio::test]
async fn requests_fare_as_the_rules_say() {
    let world = world().await;
    let mark = world.cluster.audit().mark().unwrap();
    assert_eq!(code(world.create("plain").await), Some(200));
    let seen = world.cluster.audit().since(mark).unwrap();
    let request = seen.iter().find(|it| it.name == "plain").unwrap();
    assert!(request.user_agent.ends_with(world.proxy.agent()), "{request:?}");

    for (name, effect, expected, is_done) in [
        ("refused", Effect::Instead(Failure::Status(503)), Some(503), false),
        ("throttled", Effect::Instead(Failure::Status(429)), Some(429), false),
        ("dropped", Effect::Instead(Failure::Hangup), None, false),
        ("unknown", Effect::After(Failure::Status(500)), Some(500), true),
        ("lost", Effect::After(Failure::Hangup), None, true),
        ("late", Effect::Late(Duration::from_millis(10)), Some(200), true),
    ] {
        let rule = world.proxy.add(Rule::new(effect).verbs(&["create"]).resource("configmaps"));
        assert_eq!(code(world.create(name).await), expected, "{name}");
        assert_eq!(rule.struck(), 1, "{name}");
        assert_eq!(world.exists(name).await, is_done, "{name}");
    }
    let silent = world.proxy.add(Rule::new(Effect::Instead(Failure::Silence)));
    let answer = timeout(QUIET, world.create("silent")).await;
    assert!(answer.is_err(), "{answer:?}");
    assert!(!world.exists("silent").await);
    drop(silent);
    assert_eq!(code(world.create("silent").await), Some(200));
    let patch = Patch::Merge(json!({"data": {"a": "b"}}));
    let patched = world.maps.patch("silent", &PatchParams::default(), &patch).await;
    assert_eq!(code(patched), Some(200), "bodies pass");
}

#[tokio::test]
async fn a_late_request_is_late() {
    let world = world().await;
    let _late = world.proxy.add(Rule::new(Effect::Late(QUIET)));
    let began = Instant::now();
    assert_eq!(code(world.create("late").await), Some(200));
    assert!(began.elapsed() >= QUIET);
}

#[tokio::test]
async fn watches_are_held_back_cut_and_told_that_they_are_too_old() {
    let world = world().await;
    let mut events = world.watch().await;
    world.create("a").await.unwrap();
    assert_eq!(next(&mut events).await.as_deref(), Some("a"));

    let held = [world.proxy.hold_watches("configmaps"), world.proxy.hold_watches("configmaps")];
    world.create("b").await.unwrap();
    let mut later = world.watch().await;
    world.create("c").await.unwrap();
    let [first, second] = held;
    drop(first);
    ensure_silent(&mut events).await;
    ensure_silent(&mut later).await;
    assert!(world.maps.get_opt("b").await.unwrap().is_some(), "other requests are answered");
    drop(second);
    assert_eq!(next(&mut events).await.as_deref(), Some("b"));
    assert_eq!(next(&mut events).await.as_deref(), Some("c"));
    assert_eq!(next(&mut later).await.as_deref(), Some("c"));

    world.proxy.cut_watches("pods");
    ensure_silent(&mut events).await;
    world.proxy.cut_watches("configmaps");
    ensure_ended(&mut events).await;
    let mut again = world.watch().await;
    world.proxy.cut_all_watches();
    ensure_ended(&mut again).await;

    let expired = Rule::new(Effect::Instead(Failure::Expired)).verbs(&["watch"]);
    let _expired = world.proxy.add(expired);
    let mut events = world.watch().await;
    assert_eq!(next(&mut events).await.as_deref(), Some("error 410"));
    ensure_ended(&mut events).await;
}

#[tokio::test]
async fn a_network_that_is_cut_carries_nothing_until_it_is_mended() {
    let world = world().await;
    let mut events = world.watch().await;
    let cut = world.proxy.cut_network();
    ensure_ended(&mut events).await;
    assert_eq!(code(world.create("cut").await), None);
    assert!(!world.exists("cut").await);
    drop(cut);
    assert_eq!(code(world.create("cut").await), Some(200));
}
