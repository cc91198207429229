//! `status`: healthy sets, broken ones, rollouts.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use lws_api_types::keys::annotations;
use lws_api_types::set::StartupPolicy;
use lws_e2e::{DEADLINE, Fixture, Namespace};
use lws_harness::simulator::NEVER_READY;
use lws_harness::wait;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::{at, complaint, environment, expect, namespace, plugin, run, settled, text};

const STATUS: &[&str] = &["status", "lws/test-sample"];

fn cause(report: &Value) -> &str {
    at(report, "/cause").as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_healthy_set_is_available_and_all_its_groups_are_ready() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let text = text(set.namespace(), STATUS).await?;
    let lines: Vec<_> = text.lines().collect();
    let key = set.key().await?;
    let expected = format!("test-sample   2         2       2         {key}");
    anyhow::ensure!(lines.len() == 6, "{text}");
    anyhow::ensure!(lines[1].starts_with(&expected) && lines[1].contains("Available"), "{text}");
    for line in &lines[4..] {
        anyhow::ensure!(line.contains("Ready") && line.contains("2/2"), "{text}");
    }
    anyhow::ensure!(!text.contains('\u{1b}'), "colours without a terminal: {text:?}");
    let report = crate::report(set.namespace(), STATUS).await?;
    anyhow::ensure!(report["available"] == true && report["cause"].is_null(), "{report}");
    Ok(())
}

#[tokio::test]
async fn without_a_name_all_sets_are_listed_each_with_its_cause() -> Result<()> {
    let set = settled(&Fixture::named("well")).await?;
    let namespace = set.namespace();
    let waiting = Fixture::named("waits").startup_policy(StartupPolicy::LeaderReady);
    let waits = namespace.create_set(&waiting.pod_annotation(NEVER_READY, "true")).await?;
    waits.expect_conditions("progressing").await?;
    let is_told = |it: &Value| {
        let states = ["/0/groups/0/state", "/0/groups/1/state"].map(|state| at(it, state));
        states.into_iter().all(|it| it == "Waiting")
    };
    let report =
        expect(namespace, &["status"], "both groups wait for their leaders", is_told).await?;
    let names = ["/0/name", "/1/name"].map(|it| at(&report, it).clone());
    anyhow::ensure!(names == ["waits", "well"], "{report:#}");
    anyhow::ensure!(at(&report, "/1") == &crate::report(namespace, &["status", "well"]).await?);
    let expected = "group 0 is waiting: pod waits-0 runs, container leader is not ready; its workers \
                    wait until pod waits-0 is ready (startupPolicy LeaderReady) (and 1 more group waiting)";
    let text = text(namespace, &["status"]).await?;
    let lines: Vec<_> = text.lines().collect();
    anyhow::ensure!(lines.len() == 3 && lines[1].ends_with(expected), "{text}");
    anyhow::ensure!(lines[2].starts_with("well ") && lines[2].ends_with(" -"), "{text}");

    let everywhere = crate::text(namespace, &["status", "-A"]).await?;
    let of_here = format!("{} ", namespace.name());
    let headings = everywhere.lines().next().unwrap_or_default();
    anyhow::ensure!(
        headings.starts_with("NAMESPACE ") && headings.ends_with("CAUSE"),
        "{everywhere}"
    );
    let here = everywhere.lines().filter(|it| it.starts_with(&of_here)).count();
    anyhow::ensure!(here == 2, "{everywhere}");

    let none = self::namespace().await?;
    let output = run(&none, &["status"]).await?;
    let expected = format!("No sets found in {} namespace.\n", none.name());
    anyhow::ensure!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    anyhow::ensure!(String::from_utf8(output.stderr)? == expected);
    anyhow::ensure!(crate::report(&none, &["status"]).await? == json!([]));
    Ok(())
}

#[tokio::test]
async fn a_set_that_does_not_exist_is_told_as_kubectl_tells_it() -> Result<()> {
    let (message, code) = complaint(&namespace().await?, &["status", "nothing"]).await?;
    let expected = "Error from server (NotFound): \
                    leaderworkersets.leaderworkerset.x-k8s.io \"nothing\" not found\n";
    anyhow::ensure!((message.as_str(), code) == (expected, 1), "{message}");
    Ok(())
}

#[tokio::test]
async fn that_there_is_no_cluster_is_told_once() -> Result<()> {
    let nowhere =
        plugin(&namespace().await?, &["status"])?.env("KUBECONFIG", "/nowhere").output().await?;
    let message = String::from_utf8(nowhere.stderr)?;
    let begins = "error: no cluster is configured: give --kubeconfig or $KUBECONFIG: ";
    anyhow::ensure!(message.starts_with(begins) && nowhere.status.code() == Some(1), "{message}");
    anyhow::ensure!(message.matches("/nowhere").count() == 1, "{message}");
    Ok(())
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_the_cause() -> Result<()> {
    let fixture = Fixture::default().pod_annotation(NEVER_READY, "true");
    let set = namespace().await?.create_set(&fixture).await?;
    let api: Api<Pod> = set.namespace().pods();
    let pod = set.worker(1, 1);
    let runs = async || api.get_opt(&pod).await;
    wait::until(DEADLINE, "the worker runs", runs, |it| phase(it.as_ref()) == "Running").await?;
    // No image is ever pulled here, so this is written in the name of a kubelet.
    let broken = json!({"status": {"phase": "Pending", "containerStatuses": [{
        "name": "worker", "image": "example.org/broken", "imageID": "", "ready": false,
        "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
    }]}});
    api.patch_status(&pod, &PatchParams::default(), &Patch::Strategic(broken)).await?;
    let is = |it: &Value| at(it, "/groups/1/state") == "Failing";
    let report = expect(set.namespace(), STATUS, "group 1 is failing", is).await?;
    let expected = format!(
        "group 1 is failing: pod {pod}: the image example.org/broken of container worker cannot be \
         pulled: ImagePullBackOff: no such image"
    );
    anyhow::ensure!(cause(&report) == expected, "{report}");
    anyhow::ensure!(report["available"] == false && at(&report, "/groups/0/state") == "Starting");
    Ok(())
}

fn phase(pod: Option<&Pod>) -> &str {
    pod.and_then(|it| it.status.as_ref()?.phase.as_deref()).unwrap_or_default()
}

#[tokio::test]
async fn a_quota_that_is_exceeded_is_the_cause() -> Result<()> {
    let namespace = namespace().await?;
    namespace.allow_pods(3).await?;
    namespace.create_set(&Fixture::default()).await?;
    let is = |it: &Value| cause(it).starts_with("FailedCreate: ");
    let report = expect(&namespace, STATUS, "the controller tells the quota", is).await?;
    anyhow::ensure!(cause(&report).contains("exceeded quota: pods"), "{report}");
    let groups = report["groups"].as_array().context("no groups")?;
    let is_short = |it: &&Value| it["state"] == "Incomplete";
    let short = groups.iter().find(is_short).context("no group is incomplete")?;
    anyhow::ensure!(cause(short).contains("exceeded quota: pods"), "{short}");
    Ok(())
}

#[tokio::test]
async fn a_rollout_on_its_way_shows_old_and_new_groups() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let old = set.key().await?;
    set.update(|it| {
        it.spec.leader_worker_template.worker_template.set_annotation(NEVER_READY, "true");
    })
    .await?;
    let new = set.key().await?;
    let is = |it: &Value| at(it, "/groups/1/revision") == &json!(new) && it["updated"] == 1;
    let report = expect(set.namespace(), STATUS, "group 1 is replaced", is).await?;
    let begins =
        format!("revision {new} is rolled out, 1 of 2 groups are at it; group 1 is starting");
    anyhow::ensure!(cause(&report).starts_with(&begins), "{report}");
    anyhow::ensure!(at(&report, "/groups/0/revision") == &json!(old), "{report}");
    anyhow::ensure!(at(&report, "/groups/0/state") == "Ready", "{report}");
    let text = text(set.namespace(), STATUS).await?;
    anyhow::ensure!(text.contains(&format!("{old} (old)")), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_watch_shows_each_change_and_ends_with_the_set() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let arguments = [STATUS, &["--watch", "--output", "json"]].concat();
    let mut watch = Watch::start(&mut plugin(set.namespace(), &arguments)?)?;
    let watched = async {
        watch.shows("\"available\": true").await?;
        set.scale(3).await?;
        watch.shows("\"desired\": 3").await?;
        watch.shows("\"ready\": 3").await?;
        set.namespace().sets().delete(set.name(), &kube::api::DeleteParams::default()).await?;
        watch.shows("test-sample is gone").await
    };
    tokio::time::timeout(DEADLINE, watched).await??;
    let status = watch.child.wait().await?;
    anyhow::ensure!(status.success(), "{status}");
    Ok(())
}

/// That no scheduler looks at a pod shows by its age: nobody tells of it.
#[tokio::test]
async fn a_watch_shows_what_time_brings_about_also_to_who_may_not_watch_events() -> Result<()> {
    let namespace = namespace().await?;
    let kubeconfig = reader(&namespace).await?;
    let fixture = Fixture::default().pod_spec("schedulerName", &json!("nobody"));
    namespace.create_set(&fixture).await?;
    let arguments = [STATUS, &["--watch"]].concat();
    let mut command = plugin(&namespace, &arguments)?;
    let mut watch = Watch::start(command.env("KUBECONFIG", kubeconfig))?;
    let told = watch.shows("test-sample-0 has no node, and scheduler nobody does not say why");
    tokio::time::timeout(DEADLINE, told).await??;
    let told = watch.end().await?;
    let warning = "Warning: shown without changes of events: Error from server (Forbidden): ";
    anyhow::ensure!(told.contains(warning), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_watch_warns_once_of_nodes_that_may_not_be_read() -> Result<()> {
    let zone =
        Fixture::default().annotation(annotations::EXCLUSIVE_TOPOLOGY, "kubernetes.io/hostname");
    let set = settled(&zone).await?;
    let kubeconfig = reader(set.namespace()).await?;
    let arguments = [STATUS, &["--watch", "--output", "json"]].concat();
    let mut command = plugin(set.namespace(), &arguments)?;
    let mut watch = Watch::start(command.env("KUBECONFIG", kubeconfig))?;
    let watched = async {
        watch.shows("\"available\": true").await?;
        set.scale(3).await?;
        watch.shows("\"desired\": 3").await?;
        watch.shows("\"ready\": 3").await
    };
    tokio::time::timeout(DEADLINE, watched).await??;
    let told = watch.end().await?;
    anyhow::ensure!(told.matches("Warning: shown without nodes: ").count() == 1, "{told}");
    Ok(())
}

/// `status --watch`, while it runs.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { child, lines })
    }

    /// Reads on until a line that contains `part`.
    async fn shows(&mut self, part: &str) -> Result<()> {
        while let Some(line) = self.lines.next_line().await? {
            if line.contains(part) {
                return Ok(());
            }
        }
        anyhow::bail!("the output ends without {part}")
    }

    /// Ends it, and gives what it has complained of.
    async fn end(mut self) -> Result<String> {
        self.child.start_kill()?;
        Ok(String::from_utf8(self.child.wait_with_output().await?.stderr)?)
    }
}

/// A kubeconfig of somebody who may read all objects of sets and list events, not watch them.
async fn reader(namespace: &Namespace) -> Result<PathBuf> {
    let rules = json!([
        {
            "apiGroups": ["", "apps", "leaderworkerset.x-k8s.io"],
            "resources": ["leaderworkersets", "statefulsets", "pods", "services", "controllerrevisions"],
            "verbs": ["get", "list", "watch"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
    ]);
    let role = json!({"metadata": {"name": "reader"}, "rules": rules});
    let binding = json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [
            {"kind": "ServiceAccount", "name": "reader", "namespace": namespace.name()},
        ],
    });
    let (client, name) = (environment()?.cluster().client(), namespace.name());
    let of_roles: Api<Role> = Api::namespaced(client.clone(), name);
    of_roles.create(&PostParams::default(), &serde_json::from_value(role)?).await?;
    let bindings: Api<RoleBinding> = Api::namespaced(client, name);
    bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
    Ok(environment()?.cluster().service_account_kubeconfig(name, "reader").await?)
}
