//! Labels: which pod of which group and subgroup a pod is.

use anyhow::{Context as _, Result};
use lws_api_types::keys::{annotations, labels};
use serde_json::{Value, json};

use super::*;
use crate::cases::each;
use crate::json::ensure_equal;
use crate::world::world;

/// Keys that are written out by hand: they are what users select by.
const PREFIX: &str = "leaderworkerset.sigs.k8s.io";

/// A pod, and all labels that it has afterwards, without their prefix.
type Case = (&'static str, Pod, Vec<(&'static str, &'static str)>);

fn labelled(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| (format!("{PREFIX}/{key}"), json!(value))).collect()
}

/// Pods of set `test`, with all labels that they have afterwards. The keys are SHA-1 sums of namespace and leader pod, and of
/// leader pod and subgroup.
#[tokio::test]
async fn a_pod_is_labelled_by_its_place() -> Result<()> {
    let excluded = |pod: Pod| pod.annotation(annotations::SUBGROUP_POLICY_TYPE, "LeaderExcluded");
    let set = ("name", "test");
    let group = ("group-index", "1");
    let cases: Vec<Case> = vec![
        ("C-111 worker", Pod::worker("test", 1, 2), vec![set, group, ("worker-index", "1")]),
        (
            "C-112 leader",
            Pod::leader("test", 2),
            vec![
                set,
                group,
                ("worker-index", "0"),
                ("group-key", "aeef97faa9dd5c932ef6d172070ef65d6ab4344c"),
            ],
        ),
        (
            "C-113 leader with TPU",
            Pod::leader("test", 5).divided(4).tpus(0),
            vec![
                set,
                group,
                ("worker-index", "0"),
                ("group-key", "dc47dca5d9ae47516da40436ef7a26f1f0104a98"),
                ("subgroup-index", "0"),
                ("subgroup-key", "59bac77b64b24f75ab12f1432a5d2eac2a8648c4"),
            ],
        ),
        (
            "C-114 worker of a leader with TPU",
            Pod::worker("test", 3, 4).divided(2).of_tpu_leader(),
            vec![
                set,
                group,
                ("worker-index", "3"),
                ("subgroup-index", "1"),
                ("subgroup-key", "6fa5c1d471220852817373612b3482a8c03122f8"),
            ],
        ),
        (
            "C-115 worker with TPU",
            Pod::worker("test", 4, 5).divided(2).tpus(0),
            vec![
                set,
                group,
                ("worker-index", "4"),
                ("subgroup-index", "1"),
                ("subgroup-key", "6fa5c1d471220852817373612b3482a8c03122f8"),
            ],
        ),
        (
            "L-1 leader without subgroup",
            excluded(Pod::leader("test", 5).divided(2)),
            vec![
                set,
                group,
                ("worker-index", "0"),
                ("group-key", "7d45cb040d2d7a3ff0f9df355b76d706e5f81f60"),
            ],
        ),
        (
            "L-2 worker beside such a leader",
            excluded(Pod::worker("test", 2, 5).divided(2)),
            vec![
                set,
                group,
                ("worker-index", "2"),
                ("subgroup-index", "0"),
                ("subgroup-key", "59bac77b64b24f75ab12f1432a5d2eac2a8648c4"),
            ],
        ),
        (
            "L-3 labels of a template",
            Pod::worker("test", 2, 3)
                .label(labels::WORKER_INDEX, "7")
                .label(labels::SUBGROUP_INDEX, "7")
                .divided(1),
            vec![
                set,
                group,
                ("worker-index", "2"),
                ("subgroup-index", "2"),
                ("subgroup-key", "ebb8fee1e580ff4d9531dc841386d227ec5b8ea5"),
            ],
        ),
    ];
    let world = &world().await?;
    each(cases, async |(case, pod, expected): Case| {
        let namespace = namespace(case);
        world.namespace(&namespace).await?;
        let created = world.pods(&namespace).create(&pod.json).await?.object().context(case)?;
        let found = created.pointer("/metadata/labels").context(case)?;
        ensure_equal(found, &labelled(&expected)).context(case)
    })
    .await
}

/// Known sums: pods in namespace `default` of set `leaderworkerset-sample`.
#[tokio::test]
async fn keys_are_known_sums() -> Result<()> {
    let pod = Pod::leader("leaderworkerset-sample", 2).divided(1);
    let leader = pod.put("/metadata/name", json!("leaderworkerset-sample-0"));
    let worker = Pod::worker("leaderworkerset-sample", 1, 2).divided(1);
    let worker = worker.put("/metadata/name", json!("leaderworkerset-sample-0-1"));
    let worker = worker.annotation(annotations::LEADER_NAME, "leaderworkerset-sample-0");
    let worker = worker.label(labels::GROUP_INDEX, "0");
    let set = ("name", "leaderworkerset-sample");
    let group = ("group-index", "0");
    let cases = [
        (
            leader,
            vec![
                set,
                group,
                ("worker-index", "0"),
                ("group-key", "9e1316d2ae590d1547fdcd8e941a83be8889e7d4"),
                ("subgroup-index", "0"),
                ("subgroup-key", "bbcb8915b3fc422b432777ae177705a012ab13d4"),
            ],
        ),
        (
            worker,
            vec![
                set,
                group,
                ("worker-index", "1"),
                ("subgroup-index", "1"),
                ("subgroup-key", "b71cdea44c94fd56ff2a33859b69330d4e88cc24"),
            ],
        ),
    ];
    let world = &world().await?;
    for (pod, expected) in cases {
        let created = world.pods("default").create(&pod.json).await?.object()?;
        let found = created.pointer("/metadata/labels").context("labels")?;
        ensure_equal(found, &labelled(&expected)).context(pod.name().to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_of_no_set_is_created_as_it_is() -> Result<()> {
    let cases = [
        ("C-110 labels", Pod::leader("test", 2).of_no_set()),
        ("C-116 TPUs", Pod::leader("test", 2).of_no_set().tpus(0)),
        ("C-136 no labels", Pod::leader("test", 2).put("/metadata/labels", Value::Null)),
    ];
    let world = &world().await?;
    each(cases, async |(case, pod): (&str, Pod)| {
        let namespace = namespace(case);
        world.namespace(&namespace).await?;
        let created = world.pods(&namespace).create(&pod.json).await?.object().context(case)?;
        for pointer in [
            "/metadata/labels",
            "/metadata/annotations",
            "/spec/containers/0/env",
            "/spec/affinity",
        ] {
            let [found, sent] =
                [&created, &pod.json].map(|it| it.pointer(pointer).cloned().unwrap_or_default());
            ensure_equal(&found, &sent).with_context(|| format!("{case}: {pointer}"))?;
        }
        Ok(())
    })
    .await
}
