//! Findings from all kinds of objects.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use lws_api_types::keys::annotations;
use serde_json::{Value, json};

use super::installation::{Installation, Webhook};
use super::{Finding, Report, findings, installation, look, probe, text};
use crate::output::Paint;
use crate::test_objects::{NOW, Objects, condition, event};
use crate::test_server;

/// Where people look a finding up.
const TROUBLESHOOTING: &str = include_str!("../../../../docs/troubleshooting.md");

fn is_documented(finding: &Finding) -> bool {
    TROUBLESHOOTING.contains(&format!("`{}`", finding.what))
}

/// Whether what is to be typed is about the namespace of the set, save where objects have none.
fn names_namespace(Finding { advice, .. }: &Finding) -> bool {
    let count = |part: &str| advice.matches(part).count();
    count(" -n n") == count("kubectl ") - count("kubectl describe node ")
}

fn found(change: impl FnOnce(&mut Objects)) -> Vec<Finding> {
    let mut objects = Objects::ready(2, 2);
    change(&mut objects);
    findings::of(&objects.snapshot())
}

#[test]
fn nothing_is_wrong_with_a_healthy_set() {
    assert_eq!(found(|_| {}), []);
    assert_eq!(text(&Report::default(), Paint::NONE), "Nothing wrong was found.\n");
}

#[test]
fn each_fault_is_found_with_its_evidence() {
    type Case = (fn(&mut Objects), &'static str, &'static str);
    let cases: [Case; 12] = [
        (
            |it| {
                it.waits("s-0-1", "ErrImagePull", "no");
                it.waits("s-1-1", "ErrImagePull", "no");
            },
            "An image cannot be pulled",
            "pod s-0-1: the image i of container c cannot be pulled: ErrImagePull: no (and 1 more pod)",
        ),
        (
            |it| it.waits("s-1-1", "CrashLoopBackOff", ""),
            "A container ends again and again",
            "pod s-1-1: container c ends again and again (0 restarts)",
        ),
        (
            |it| {
                it.sts("s-1")["status"]["replicas"] = json!(0);
                let message = "pods \"s-1-1\" is forbidden: exceeded quota: pods";
                it.events.push(event("StatefulSet", "s-1", "s-1-workers", "FailedCreate", message));
            },
            "A quota is exceeded",
            "statefulset s-1: pods \"s-1-1\" is forbidden: exceeded quota: pods",
        ),
        (
            |it| it.services[0]["metadata"]["ownerReferences"] = json!([]),
            "An object of somebody else has a name that the set needs",
            "Service s is controlled by nobody",
        ),
        (
            |it| {
                let history = json!({"1": {
                    "count": 3, "cause": "pod_lost", "pod": "s-1-1", "leader": "s-1-uid",
                    "time": "2026-01-01T12:04:00Z",
                }});
                it.sts("s")["metadata"]["annotations"] =
                    json!({annotations::GROUP_RESTARTS: history.to_string()});
            },
            "A group keeps failing",
            "group 1 has failed 3 times in a row, the last time because pod s-1-1 vanished: it waits for its recreation",
        ),
        (
            |it| it.pod("s-1")["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:03:00Z"),
            "A pod does not end",
            "the grace period of pod s-1 on node node-1 ended 2m ago",
        ),
        (
            |it| it.set["status"]["conditions"] = json!([condition("ReplicaFailure", "True")]),
            "The controller cannot do its work",
            "condition ReplicaFailure: Reason: message",
        ),
        (
            |it| it.set["metadata"]["generation"] = json!(2),
            "The controller has not acted on the last change",
            "metadata.generation is 2, status.observedGeneration is 1",
        ),
        (
            |it| {
                it.waits("s-1-1", "ContainerCreating", "");
                it.pod("s-1-1")["spec"] = json!({"containers": []});
                it.pod("s-1-1")["status"] = json!({"phase": "Pending", "conditions": [
                    {"type": "PodScheduled", "status": "False", "message": "0/2 nodes"},
                ]});
            },
            "The scheduler finds no node",
            "pod s-1-1 finds no node: 0/2 nodes",
        ),
        (
            |it| it.waits_for_node("s-1-1"),
            "No scheduler looks at a pod",
            "pod s-1-1 has no node, and scheduler own does not say why",
        ),
        (
            |it| {
                it.runs("s-1-1");
                let message = "Readiness probe failed: connection refused\n";
                it.events.push(event("Pod", "s-1-1", "s-1-1-uid", "Unhealthy", message));
            },
            "A pod runs and does not become ready",
            "pod s-1-1 runs, container c is not ready, for 5m: Readiness probe failed: connection refused",
        ),
        (
            |it| {
                it.set["spec"]["startupPolicy"] = json!("LeaderReady");
                it.runs("s-1");
                it.remove_workers("s-1");
            },
            "The workers wait for their leader",
            "pod s-1 runs, container c is not ready, for 5m; its workers wait until pod s-1 is ready (startupPolicy LeaderReady)",
        ),
    ];
    for (change, what, evidence) in cases {
        let findings = found(change);
        let [finding] = findings.as_slice() else { panic!("{what}: {findings:?}") };
        assert_eq!((finding.what.as_str(), finding.evidence.as_str()), (what, evidence));
        assert!(!finding.advice.is_empty() && is_documented(finding), "{finding:?}");
        assert!(names_namespace(finding), "{finding:?}");
    }
}

#[test]
fn a_pod_behind_scheduling_gates_is_found() {
    let findings = found(|it| {
        it.waits_for_node("s-1-1");
        it.pod("s-1-1")["spec"]["schedulingGates"] = json!([{"name": "g"}]);
        it.pod("s-1-1")["status"]["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "blocked",
        }]);
    });
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.what, "A pod waits behind scheduling gates");
    assert_eq!(finding.evidence, "pod s-1-1 waits behind scheduling gate g");
    assert!(is_documented(finding) && names_namespace(finding), "{finding:?}");
}

#[test]
fn what_the_controller_says_is_told_with_other_findings_and_before_pods_that_are_not_ready() {
    let failure = |reason: &str, message: &str| {
        let mut failure = condition("ReplicaFailure", "True");
        failure["reason"] = json!(reason);
        failure["message"] = json!(message);
        json!([failure])
    };
    let quota = "statefulsets.apps \"s-1\" is forbidden: exceeded quota: q";
    let told = |change: fn(&mut Objects), reason: &str, message: &str| {
        let conditions = failure(reason, message);
        let findings = found(|it| {
            change(it);
            it.set["status"]["conditions"] = conditions;
        });
        findings.into_iter().map(|it| it.what).collect::<Vec<_>>()
    };
    let controller = "The controller cannot do its work";
    let unready: fn(&mut Objects) = |it| it.runs("s-1-1");
    let expected = [controller, "A pod runs and does not become ready"];
    assert_eq!(told(unready, "FailedCreate", quota), expected);
    let unpulled: fn(&mut Objects) = |it| it.waits("s-1-1", "ErrImagePull", "no");
    let expected = ["An image cannot be pulled", controller];
    assert_eq!(told(unpulled, "FailedCreate", quota), expected, "of something else");
    let expected = ["An image cannot be pulled"];
    assert_eq!(told(unpulled, "ImagePullFailed", "pod s-1-1"), expected, "told already");
    let over_quota: fn(&mut Objects) = |it| {
        it.sts("s-1")["status"]["replicas"] = json!(0);
        let message = "pods \"s-1-1\" is forbidden: exceeded quota: pods";
        it.events.push(event("StatefulSet", "s-1", "s-1-workers", "FailedCreate", message));
    };
    assert_eq!(told(over_quota, "FailedCreate", quota), ["A quota is exceeded"]);
}

#[test]
fn a_node_that_does_not_answer_is_found_rather_than_that_its_pods_are_not_ready() {
    let mut objects = Objects::ready(2, 2);
    objects.runs("s-1");
    // Nobody is there to say that the containers do not run any more.
    objects.pod("s-1")["status"]["containerStatuses"][0]["ready"] = json!(true);
    objects.waits("s-1-1", "ContainerCreating", "");
    let mut snapshot = objects.snapshot();
    let silence =
        "its condition Ready is Unknown: NodeStatusUnknown: Kubelet stopped posting node status.";
    snapshot.lost = [("node-1".to_owned(), silence.to_owned())].into();
    let findings = findings::of(&snapshot);
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.what, "The node of a pod does not answer");
    let expected = "pod s-1 is on node node-1: its condition Ready is Unknown: NodeStatusUnknown: \
                    Kubelet stopped posting node status. (and 1 more pod)";
    assert_eq!(finding.evidence, expected);
    assert!(finding.advice.contains("kubectl describe node node-1;"), "{finding:?}");
    assert!(is_documented(finding) && names_namespace(finding), "{finding:?}");
}

#[test]
fn a_pod_that_a_lost_node_does_not_end_is_found_rather_than_the_leader_that_waits_for_it() {
    let mut objects = Objects::ready(2, 2);
    for pod in ["s-1", "s-1-1"] {
        objects.pod(pod)["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:03:00Z");
    }
    objects.pod("s-1")["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    objects.pod("s-1-1")["spec"]["nodeName"] = json!("lost");
    let found = |lost: &[&str]| {
        let mut snapshot = objects.snapshot();
        let said = |it: &&str| ((*it).to_owned(), "it does not exist".to_owned());
        snapshot.lost = lost.iter().map(said).collect();
        let findings = findings::of(&snapshot);
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert!(is_documented(finding) && names_namespace(finding), "{finding:?}");
        [finding.what.clone(), finding.evidence.clone()]
    };
    let lost = "The node of a pod does not answer";
    assert_eq!(
        found(&["lost"]),
        [lost, "pod s-1-1 is being deleted on node lost: it does not exist"]
    );
    let stuck = "the grace period of pod s-1-1 on node lost ended 2m ago";
    assert_eq!(found(&[]), ["A pod does not end", stuck]);
}

#[test]
fn a_pod_that_waits_for_what_it_owns_or_for_others_is_not_blamed_on_its_node() {
    for (finalizer, advice) in [
        (
            "foregroundDeletion",
            "it waits for the objects that it owns, see which: kubectl lws tree s -n n",
        ),
        ("a/b", "see why whoever has set the finalizers does not remove them"),
    ] {
        let findings = found(|it| {
            it.pod("s-1")["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:03:00Z");
            it.pod("s-1")["metadata"]["finalizers"] = json!([finalizer]);
        });
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert!(finding.evidence.ends_with(&format!("has the finalizers {finalizer}")));
        assert_eq!(finding.advice, advice);
    }
}

#[test]
fn of_a_set_that_is_being_deleted_it_is_told_what_that_waits_for() {
    let mut objects = Objects::ready(2, 2);
    objects.set["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:03:00Z");
    objects.set["metadata"]["finalizers"] = json!(["a/b"]);
    // The controller has no more to do with it.
    objects.set["metadata"]["generation"] = json!(2);
    objects.conditions(&["ReplicaFailure"]);
    objects.runs("s-1-1");
    let findings = findings::of(&objects.snapshot());
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.what, "The set is being deleted");
    let expected = "leaderworkerset s is being deleted, its time ended 2m ago, waits for a/b";
    assert_eq!(finding.evidence, expected);
    assert!(is_documented(finding) && names_namespace(finding), "{finding:?}");
    assert_eq!(probe::pod(&objects.snapshot()), None);
}

#[tokio::test]
async fn a_set_that_cannot_be_read_is_found() {
    let mut objects = Objects::ready(2, 2);
    objects.set["spec"]["startupPolicy"] = json!("FromTheFuture");
    let connection = test_server::connection(move |_, path| objects.answer(path));
    let report = look(&connection, "s").await.unwrap();
    let [finding] = report.findings.as_slice() else { panic!("{report:?}") };
    assert_eq!(finding.what, "The set cannot be read");
    assert!(finding.evidence.starts_with("leaderworkerset s: "), "{finding:?}");
    assert!(finding.evidence.contains("FromTheFuture"), "{finding:?}");
    assert!(is_documented(finding) && names_namespace(finding), "{finding:?}");
    let error = look(&connection, "absent").await.unwrap_err();
    assert!(error.told().starts_with("Error from server (NotFound): "), "{}", error.told());
}

#[test]
fn a_node_without_the_topology_label_is_found() {
    let mut objects = Objects::ready(2, 2);
    objects.set["metadata"]["annotations"] = json!({annotations::EXCLUSIVE_TOPOLOGY: "rack"});
    objects.sts("s")["spec"]["template"] =
        json!({"metadata": {"annotations": {annotations::EXCLUSIVE_TOPOLOGY: "rack"}}});
    let mut snapshot = objects.snapshot();
    let labelled = BTreeMap::from([("rack".to_owned(), "r1".to_owned())]);
    snapshot.nodes =
        [("node-0".to_owned(), labelled), ("node-1".to_owned(), BTreeMap::new())].into();
    let findings = findings::of(&snapshot);
    let evidence = &findings[0].evidence;
    assert!(
        evidence.starts_with("node node-1 of leader pod s-1 has no label rack"),
        "{findings:?}"
    );
    assert!(is_documented(&findings[0]), "{findings:?}");
}

#[test]
fn a_topology_that_no_node_is_in_is_found_rather_than_what_comes_of_it() {
    let mut objects = Objects::ready(2, 2);
    objects.pod("s-1")["spec"] = json!({"containers": []});
    objects.pod("s-1")["status"] = json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "message": "0/2 nodes"},
    ]});
    let mut snapshot = objects.snapshot();
    snapshot.absent_topology = Some((annotations::EXCLUSIVE_TOPOLOGY, "rack".to_owned()));
    let findings = findings::of(&snapshot);
    let what: Vec<_> = findings.iter().map(|it| &*it.what).collect();
    assert_eq!(what, ["No node has the topology label"]);
    let expected = "no node has label rack, which annotation \
                    leaderworkerset.sigs.k8s.io/exclusive-topology names: pod s-1 finds no node: 0/2 nodes";
    assert_eq!(findings[0].evidence, expected);
    assert!(findings[0].advice.contains("kubectl label node <name> rack=<domain>"));
}

fn leased(spec: &Value) -> Installation {
    let lease = json!({"metadata": {"name": "l"}, "spec": spec});
    Installation {
        namespace: "there".to_owned(),
        webhooks: Some(vec![webhook("mleaderworkerset.kb.io"), webhook("mpod.kb.io")]),
        silent: [].into(),
        lease: Some(serde_json::from_value::<Lease>(lease).unwrap()),
    }
}

fn webhook(name: &str) -> Webhook {
    Webhook {
        configuration: "c".to_owned(),
        name: name.to_owned(),
        has_authority: true,
        service: Some(("there".to_owned(), "webhook".to_owned())),
    }
}

fn works() -> Installation {
    leased(&json!({
        "holderIdentity": "h", "renewTime": "2026-01-01T12:04:50.000000Z", "leaseDurationSeconds": 15,
    }))
}

#[test]
fn what_is_wrong_with_the_installation() {
    let now: Timestamp = NOW.parse().unwrap();
    assert_eq!(works().findings(now), []);
    assert_eq!(Installation::default().findings(now), [], "nothing could be read");
    let stale = leased(&json!({
        "holderIdentity": "h", "renewTime": "2026-01-01T12:03:00.000000Z", "leaseDurationSeconds": 15,
    }));
    let released = leased(&json!({"holderIdentity": ""}));
    let mut silent = works();
    silent.silent.insert(("there".to_owned(), "webhook".to_owned()));
    let mut unsigned = works();
    unsigned.webhooks = Some(vec![
        webhook("mleaderworkerset.kb.io"),
        Webhook { has_authority: false, ..webhook("mpod.kb.io") },
    ]);
    for (installation, evidence) in [
        (stale, "h has renewed Lease there/b8b2488c.x-k8s.io 2m ago, not within 15 s"),
        (released, "nobody holds Lease there/b8b2488c.x-k8s.io"),
        (silent, "no pod behind Service there/webhook is ready"),
        (unsigned, "webhook mpod.kb.io of c has no caBundle"),
        (
            Installation { webhooks: Some(vec![webhook("mpod.kb.io")]), ..works() },
            "no MutatingWebhookConfiguration has the webhook mleaderworkerset.kb.io",
        ),
    ] {
        let findings = installation.findings(now);
        let [finding] = findings.as_slice() else { panic!("{evidence}: {findings:?}") };
        assert_eq!(finding.evidence, evidence);
        assert!(is_documented(finding), "{finding:?}");
        let advice = &finding.advice;
        assert!(!advice.contains("kubectl") || advice.contains(" -n there "), "{advice}");
    }
}

#[test]
fn that_there_is_no_lease_is_not_checked_rather_than_wrong() {
    let mut unchecked = Vec::new();
    let works = works();
    let mut telling = |lease: Option<&Lease>| {
        unchecked.clear();
        let found = installation::telling(lease.cloned(), "there", None, &mut unchecked);
        (found, unchecked.clone())
    };
    assert_eq!(telling(works.lease.as_ref()), (works.lease.clone(), vec![]));
    let (lease, unchecked) = telling(None);
    let [told] = unchecked.as_slice() else { panic!("{unchecked:?}") };
    let begins = "whether a controller is at work: there is no Lease there/b8b2488c.x-k8s.io. ";
    assert!(told.starts_with(begins), "{told}");
    assert!(told.contains("leaderElect)") && told.contains("resourceNamespace)"), "{told}");
    assert!(told.ends_with("kubectl get pods -n there -l control-plane=controller-manager"));
    let without = Installation { lease, ..works };
    assert_eq!(without.findings(NOW.parse().unwrap()), []);
}

#[test]
fn a_lease_that_ended_before_the_status_was_written_is_left_over() {
    let mut objects = Objects::ready(2, 2);
    let renewed = json!({"holderIdentity": "h", "renewTime": "2026-01-01T12:00:00.000000Z"});
    // A controller that ends hands it back for a second.
    let mut released = renewed.clone();
    released["holderIdentity"] = json!("");
    released["leaseDurationSeconds"] = json!(1);
    let written = |time: &str, manager: &str, subresource: &str| json!({"manager": manager, "subresource": subresource, "time": time});
    for (lease, entry, is_left_over) in [
        (&renewed, written("2026-01-01T12:00:20Z", "lws", "status"), false),
        (&renewed, written("2026-01-01T12:01:00Z", "lws", "status"), true),
        (&renewed, written("2026-01-01T12:01:00Z", "kubectl", "status"), false),
        (&renewed, written("2026-01-01T12:01:00Z", "lws", ""), false),
        (&released, written("2026-01-01T12:00:10Z", "lws", "status"), false),
        (&released, written("2026-01-01T12:00:20Z", "lws", "status"), true),
    ] {
        let left = leased(lease).lease;
        objects.set["metadata"]["managedFields"] = json!([entry]);
        let written = objects.snapshot().status_written();
        let mut unchecked = Vec::new();
        let lease = installation::telling(left, "there", written, &mut unchecked);
        assert_eq!(
            (lease.is_none(), unchecked.len()),
            (is_left_over, is_left_over.into()),
            "{entry}"
        );
        let begins = "whether a controller is at work: Lease there/b8b2488c.x-k8s.io is left over";
        assert!(unchecked.iter().all(|it| it.starts_with(begins)), "{unchecked:?}");
    }
}

#[test]
fn a_pod_is_tried_out_at_an_index_where_there_is_none() {
    let mut objects = Objects::ready(2, 2);
    objects.sts("s")["spec"]["template"] =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}});
    let pod = probe::pod(&objects.snapshot()).unwrap();
    assert_eq!(pod["metadata"], json!({"name": "s-2", "labels": {"a": "b"}}));
    objects.sts("s")["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "own", "emptyDir": {}}, {"name": "data", "emptyDir": {}}]);
    objects.sts("s")["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}}]);
    let pod = probe::pod(&objects.snapshot()).unwrap();
    let claimed = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-s-2"}});
    let own = json!({"name": "own", "emptyDir": {}});
    assert_eq!(pod["spec"]["volumes"], json!([own, claimed]), "as its controller mounts them");
    let message = "admission webhook: failed calling webhook \"mpod.kb.io\"";
    let refused = probe::finding(&objects.snapshot(), message).unwrap();
    assert_eq!(refused.what, "An admission webhook does not answer");
    assert!(refused.evidence.starts_with("a dry run of creating a pod: admission webhook"));
    assert!(is_documented(&refused));
}

#[test]
fn a_quota_without_room_for_one_more_pod_is_wrong_only_where_pods_are_missing() {
    type Change = fn(&mut Objects);
    let refused = |change: Change, message: &str| {
        let mut objects = Objects::ready(2, 2);
        change(&mut objects);
        probe::finding(&objects.snapshot(), message).map(|it| it.what)
    };
    let full = "pods \"s-2\" is forbidden: exceeded quota: q, used: pods=4, limited: pods=4";
    let whole: [Change; 2] = [|_| {}, |it| it.runs("s-1-1")];
    for change in whole {
        assert_eq!(refused(change, full), None);
        let denied = "admission webhook \"w\" denied the request";
        assert_eq!(refused(change, denied).as_deref(), Some("Pods cannot be created"));
    }
    let short: [Change; 2] =
        [|it| it.sts("s-1")["status"]["replicas"] = json!(0), |it| it.remove_workers("s-1")];
    for change in short {
        assert_eq!(refused(change, full).as_deref(), Some("A quota is exceeded"));
    }
}
