//! Pods that cannot be what they say: the user of the StatefulSet reads why in its events.

use anyhow::{Context as _, Result, ensure};
use lws_api_types::keys::{annotations, labels};
use serde_json::{Value, json};

use super::*;
use crate::cases::each;
use crate::world::world;

fn cases() -> Vec<(&'static str, Pod, &'static str)> {
    let leader = || Pod::leader("test", 2);
    let worker = || Pod::worker("test", 1, 2);
    let sized = |pod: Pod, size: Value| {
        pod.put(&format!("/metadata/annotations/{}", escape(annotations::SIZE)), size)
    };
    let named = |pod: Pod, name: &str| pod.put("/metadata/name", json!(name));
    vec![
        (
            "R-1",
            sized(leader(), Value::Null),
            "size annotation is unexpectedly missing for pod test-1",
        ),
        (
            "R-2",
            sized(leader(), json!("two")),
            "annotation leaderworkerset.sigs.k8s.io/size: strconv.Atoi: parsing \"two\": invalid syntax",
        ),
        (
            "R-3",
            sized(worker(), json!("99999999999")),
            "annotation leaderworkerset.sigs.k8s.io/size: strconv.Atoi: parsing \"99999999999\": value out of range",
        ),
        (
            "R-4",
            sized(worker(), json!("0")),
            "annotation leaderworkerset.sigs.k8s.io/size: must be at least 1, is 0",
        ),
        (
            "R-5",
            worker().annotation(annotations::SUBGROUP_SIZE, "many"),
            "annotation leaderworkerset.sigs.k8s.io/subgroup-size: strconv.Atoi: parsing \"many\": invalid syntax",
        ),
        ("R-6", named(leader(), "test"), "parsing pod ordinal for pod test"),
        ("R-7", named(worker(), "test-x"), "parsing pod ordinal for pod test-x"),
        ("R-8", named(leader(), "test-2147483648"), "parsing pod ordinal for pod test-2147483648"),
        ("R-9", named(worker(), "-1").tpus(0), "parsing parent name from pod -1"),
        (
            "R-10",
            worker().put(&format!("/metadata/labels/{}", escape(labels::GROUP_INDEX)), Value::Null),
            "Failure constructing environment variables, no group index label found for pod r-10/test-1-1",
        ),
        (
            "R-11",
            Pod::worker("test", 7, 2).tpus(0),
            "pod test-1-7 cannot be a TPU host: its ordinal is 7, and annotation leaderworkerset.sigs.k8s.io/size says 2",
        ),
        (
            "R-13",
            named(worker(), "test-1-0"),
            "pod test-1-0 cannot be a worker: its ordinal is 0, which is that of the leader",
        ),
        (
            "R-14",
            sized(
                named(worker(), "").put("/metadata/generateName", json!("web-5d4-")),
                Value::Null,
            ),
            "size annotation is unexpectedly missing for pod web-5d4-…: it has no name yet, but label leaderworkerset.sigs.k8s.io/name makes it a pod of LeaderWorkerSet \"test\", which names its pods: remove the label, or let the LeaderWorkerSet create the pod",
        ),
        (
            "R-12",
            Pod::leader("test", 100_000).tpus(0),
            "the TPU host lists of pod test-1 would take about 5700000 bytes, at most 1572864 fit into an object",
        ),
    ]
}

#[tokio::test]
async fn the_message_says_what_is_wrong() -> Result<()> {
    let world = &world().await?;
    each(cases(), async |(case, pod, text): (&str, Pod, &str)| {
        let namespace = namespace(case);
        world.namespace(&namespace).await?;
        let answer = world.pods(&namespace).create(&pod.json).await?;
        let message = answer.message().context(case)?;
        ensure!(answer.code.as_u16() == 403, "{case}: {}: {message}", answer.code);
        let expected = format!("admission webhook \"mpod.kb.io\" denied the request: {text}");
        ensure!(message == expected, "{case}: {message}\nexpected: {expected}");
        Ok(())
    })
    .await
}
