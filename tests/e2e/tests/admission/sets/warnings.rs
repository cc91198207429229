//! What is allowed, but told to be unlikely to be meant.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::*;
use crate::cases::each;
use crate::json::put;
use crate::world::world;

#[tokio::test]
async fn doubtful_sets_are_stored_with_a_warning() -> Result<()> {
    let long = "w".repeat(50);
    let cases: [(&str, Vec<Change>, &str); 9] = [
        (
            "X-28d room for ten groups",
            vec![(NAME, json!(long)), (REPLICAS, json!(11))],
            "metadata.name: 50 characters leave no room for group 10 and above: their pods cannot be created, since the label \
             values derived from the name exceed 63 characters",
        ),
        (
            "W-1 the name of a group",
            vec![(NAME, json!("other-0"))],
            "metadata.name: group 0 of a LeaderWorkerSet other needs objects named other-0 too: the two sets cannot share a \
             namespace",
        ),
        (
            "W-2 no topology",
            vec![(ANNOTATIONS, json!({"leaderworkerset.sigs.k8s.io/exclusive-topology": "a b"}))],
            "metadata.annotations.leaderworkerset.sigs.k8s.io/exclusive-topology: no node can have a label \"a b\", which is not \
             a valid label key: pods will not be placed",
        ),
        (
            "W-8 a topology with a character that no warning may have",
            vec![(
                ANNOTATIONS,
                json!({"leaderworkerset.sigs.k8s.io/exclusive-topology": "rack\u{7f}"}),
            )],
            "metadata.annotations.leaderworkerset.sigs.k8s.io/exclusive-topology: no node can have a label \"rack\\u{7f}\", which \
             is not a valid label key: pods will not be placed",
        ),
        (
            "W-3 a key of ours",
            vec![(
                "/spec/leaderWorkerTemplate/leaderTemplate/metadata",
                json!({"labels": {"leaderworkerset.sigs.k8s.io/name": "x"}}),
            )],
            "spec.leaderWorkerTemplate.leaderTemplate.metadata.labels: \"leaderworkerset.sigs.k8s.io/name\" is reserved and \
             will be overwritten",
        ),
        (
            "W-4 a variable of ours",
            vec![(
                "/spec/leaderWorkerTemplate/workerTemplate/spec/containers",
                json!([{"name": "c", "image": "busybox", "env": [{"name": "LWS_GROUP_SIZE", "value": "9"}]}]),
            )],
            "spec.leaderWorkerTemplate.workerTemplate.spec.containers[0].env: \"LWS_GROUP_SIZE\" is reserved and will be \
             overwritten",
        ),
        (
            "W-5 an annotation of pods",
            vec![(ANNOTATIONS, json!({"leaderworkerset.sigs.k8s.io/leader-name": "x"}))],
            "metadata.annotations: \"leaderworkerset.sigs.k8s.io/leader-name\" has no effect on a LeaderWorkerSet",
        ),
        (
            "W-6 pods that end",
            vec![("/spec/leaderWorkerTemplate/workerTemplate/spec/restartPolicy", json!("Never"))],
            "spec.leaderWorkerTemplate.workerTemplate.spec.restartPolicy: Never must be Always: Kubernetes will refuse the \
             StatefulSets, and no pod will be created",
        ),
        (
            "W-7 one domain for two",
            vec![
                (ANNOTATIONS, json!({"leaderworkerset.sigs.k8s.io/exclusive-topology": "rack"})),
                (
                    "/spec/leaderWorkerTemplate/leaderTemplate/spec/nodeSelector",
                    json!({"rack": "r1"}),
                ),
            ],
            "spec.leaderWorkerTemplate.leaderTemplate.spec.nodeSelector: binds the set to one \"rack\", but \
             leaderworkerset.sigs.k8s.io/exclusive-topology needs 2 of them",
        ),
    ];
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    each(cases, async |(case, changes, warning): (&str, Vec<Change>, &str)| {
        let answer = world.sets(NAMESPACE).create(&set(case, &changes)?).await?;
        answer.object().context(case)?;
        ensure!(answer.warnings == [warning], "{case}: {:?}", answer.warnings);
        Ok(())
    })
    .await
}

/// A warning that Kubernetes will refuse a pod template is true: the set is stored, a StatefulSet with the template is not.
#[tokio::test]
async fn templates_that_are_warned_of_are_refused() -> Result<()> {
    const TEMPLATE: &str = "/spec/leaderWorkerTemplate/workerTemplate";
    let refused = "Kubernetes will refuse the StatefulSets, and no pod will be created";
    let container = |name: &str| json!({"name": name, "image": "busybox"});
    let with =
        |resources: Value| json!([{"name": "c", "image": "busybox", "resources": resources}]);
    let limited = |amount: Value| with(json!({"limits": {"google.com/tpu": amount}}));
    let requested = json!({"requests": {"google.com/tpu": 4}});
    let differing = json!({"requests": {"google.com/tpu": 2}, "limits": {"google.com/tpu": "4"}});
    let long = "v".repeat(64);
    let cases = [
        ("spec/restartPolicy", json!("Never")),
        ("spec/activeDeadlineSeconds", json!(60)),
        ("spec/containers", json!([])),
        ("spec/containers", json!([container("a.b")])),
        ("spec/containers", json!([container("")])),
        ("spec/containers", json!([{"name": "c"}])),
        ("spec/initContainers", json!([container("worker")])),
        ("spec/containers", limited(json!("500m"))),
        ("spec/containers", limited(json!("-1"))),
        ("spec/initContainers", limited(json!(-1))),
        ("spec/containers", with(requested)),
        ("spec/containers", with(differing)),
        ("spec/nodeSelector", json!({"a b": "x"})),
        ("spec/nodeSelector", json!({"a": "x y"})),
        ("metadata", json!({"labels": {"A.b/c": "x"}})),
        ("metadata", json!({"labels": {"c": long}})),
        ("metadata", json!({"annotations": {"a b": "x"}})),
    ];
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let stateful_sets =
        world.resource(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets"));
    each(cases, async |(field, value): (&str, Value)| {
        let case = format!("{field}: {value}");
        let mut set = set("refused", &[])?;
        put(&mut set, &format!("{TEMPLATE}/{field}"), value)?;
        let answer = world.sets(NAMESPACE).try_create(&set).await?;
        let stored = answer.object().with_context(|| case.clone())?;
        let expected = matches!(&*answer.warnings, [one] if one.ends_with(refused));
        ensure!(expected, "{case}: {:?}", answer.warnings);

        let mut template = stored.pointer(TEMPLATE).context("no template")?.clone();
        template["metadata"]["labels"]["a"] = json!("b");
        let answer = stateful_sets.try_create(&stateful_set(&template)).await?;
        ensure!(answer.code.as_u16() == 422, "{case}: {answer:?}");
        Ok(())
    })
    .await?;
    let fine = json!({
        "metadata": {"labels": {"a": "b"}, "annotations": {"A.example.com/B": "any text"}},
        "spec": {"containers": limited(json!("4000m")), "nodeSelector": {"a": ""}},
    });
    stateful_sets.try_create(&stateful_set(&fine)).await?.object()?;
    Ok(())
}

fn stateful_set(template: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "judged"},
        "spec": {
            "serviceName": "judged",
            "selector": {"matchLabels": {"a": "b"}},
            "template": template,
        },
    })
}

/// The same for claims.
#[tokio::test]
async fn claims_that_are_warned_of_are_refused() -> Result<()> {
    let refused = "Kubernetes will refuse the claims, and no pod will be created";
    let storage = json!({"requests": {"storage": "1Gi"}});
    let claim = |name: &str, modes: Value, resources: &Value| {
        json!({
            "metadata": {"name": name},
            "spec": {"accessModes": modes, "resources": resources},
        })
    };
    let modes = || json!(["ReadWriteOnce"]);
    let cases = [
        (claim("data", modes(), &storage), false),
        (claim("a_b", modes(), &storage), true),
        (claim("data", json!([]), &storage), true),
        (claim("data", modes(), &json!({"requests": {}})), true),
    ];
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let claims = world.resource(&format!("/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"));
    each(cases, async |(claim, is_refused): (Value, bool)| {
        let set = set("claims", &[(CLAIMS, json!([claim]))])?;
        let answer = world.sets(NAMESPACE).try_create(&set).await?;
        answer.object().with_context(|| claim.to_string())?;
        let warned = matches!(&*answer.warnings, [one] if one.ends_with(refused));
        ensure!(warned == is_refused, "{claim}: {:?}", answer.warnings);
        // A StatefulSet appends the name of the pod.
        let name = claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let mut claim = claim.clone();
        put(&mut claim, "/metadata/name", json!(format!("{name}-claims-0")))?;
        let answer = claims.try_create(&claim).await?;
        ensure!(answer.code.is_success() != is_refused, "{claim}: {answer:?}");
        Ok(())
    })
    .await
}

/// What is shipped to be copied is ordinary: after all defaults, there is nothing to say.
#[tokio::test]
async fn samples_are_stored_without_a_warning() -> Result<()> {
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/samples");
    let mut stored = 0;
    for file in std::fs::read_dir(directory)? {
        let path = file?.path();
        for document in std::fs::read_to_string(&path)?.split("\n---\n") {
            let sample: Value = serde_saphyr::from_str(document)?;
            if sample.get("kind") != Some(&json!("LeaderWorkerSet")) {
                continue;
            }
            let answer = world.sets(NAMESPACE).try_create(&sample).await?;
            answer.object().with_context(|| path.display().to_string())?;
            ensure!(answer.warnings.is_empty(), "{}: {:?}", path.display(), answer.warnings);
            stored += 1;
        }
    }
    ensure!(stored >= 6, "only {stored} samples");
    Ok(())
}

#[tokio::test]
async fn an_update_warns_of_what_is_new_only() -> Result<()> {
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let sets = world.sets(NAMESPACE);
    let created = sets.create(&set("warned", &[(NAME, json!("warned-0"))])?).await?;
    ensure!(created.warnings.len() == 1, "{:?}", created.warnings);
    let changed: Value = with(created.object()?, &[(REPLICAS, json!(3))])?;
    let updated = sets.replace(&changed).await?;
    updated.object()?;
    ensure!(updated.warnings.is_empty(), "{:?}", updated.warnings);
    Ok(())
}
