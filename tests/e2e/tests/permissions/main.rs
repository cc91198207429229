//! A controller that lacks a permission says which verb on which resource is missing, and serves the rest.

use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use lws_e2e::{DEADLINE, Environment, Fixture, Namespace};
use lws_harness::system::{Component, System, SystemOptions};
use lws_harness::{ClusterOptions, wait};
use serde_json::json;

static ENVIRONMENT: LazyLock<Result<Environment>> = LazyLock::new(|| {
    Environment::start(
        env!("CARGO_TARGET_TMPDIR"),
        "permissions",
        ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() },
        SystemOptions { webhook: false, ..SystemOptions::default() },
    )
});

fn environment() -> Result<&'static Environment> {
    match &*ENVIRONMENT {
        Ok(environment) => Ok(environment),
        Err(error) => bail!("no environment: {error:#}"),
    }
}

#[tokio::test]
async fn a_write_that_is_not_permitted_is_told_and_hinders_no_other() -> Result<()> {
    // Whoever holds the system is alone with the roles, too.
    let _alone = environment()?.system().await;
    let namespace = environment()?.namespace().await?;
    let whole = without(&namespace, "services", &["create"]).await?;

    let set = namespace.create_set(&Fixture::default()).await?;
    set.valid_leader_set(2).await?;
    set.create_leaders().await?;
    set.valid_worker_sets().await?;
    let told = ["Warning FailedCreate", "cannot create resource \"services\""];
    namespace.expect_event_of(&told).await?;
    set.expect_conditions("progressing").await?;

    restore(&namespace, whole).await?;
    set.valid_services(1).await
}

#[tokio::test]
async fn without_its_list_of_services_the_controller_serves_sets_all_the_same() -> Result<()> {
    let mut system = environment()?.system().await;
    let namespace = environment()?.namespace().await?;
    let whole = without(&namespace, "services", &["list", "watch"]).await?;
    let controller = first_controller(&mut system)?;
    controller.restart().await?;
    expect_in(controller.process().log(), "not permitted: grant list and watch on services")
        .await?;

    let set = namespace.create_set(&Fixture::default()).await?;
    set.valid_leader_set(2).await?;
    set.valid_services(1).await?;
    restore(&namespace, whole).await
}

#[tokio::test]
async fn without_its_list_of_pods_the_controller_waits_and_says_so() -> Result<()> {
    let mut system = environment()?.system().await;
    let namespace = environment()?.namespace().await?;
    let whole = without(&namespace, "pods", &["list", "watch"]).await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.valid_leader_set(2).await?;

    let controller = first_controller(&mut system)?;
    let log = controller.process().log().to_owned();
    let told = async {
        expect_in(&log, "not permitted: grant list and watch on pods").await?;
        restore(&namespace, whole).await
    };
    // It is ready only once it may list pods again.
    let (restarted, told) = tokio::join!(controller.restart(), told);
    told?;
    restarted?;
    set.create_leaders().await?;
    set.valid_worker_sets().await
}

#[tokio::test]
async fn without_its_list_of_events_the_controller_goes_on_and_says_so_once() -> Result<()> {
    let mut system = environment()?.system().await;
    let namespace = environment()?.namespace().await?;
    let whole = without(&namespace, "events", &["list"]).await?;
    let log = first_controller(&mut system)?.process().log().to_owned();
    let told = "not permitted: grant list on events";
    // The leader StatefulSet stays short of a pod.
    let set = namespace.create_set(&Fixture::default()).await?;
    set.valid_leader_set(2).await?;
    let generation = set.leader_set().await?.metadata.generation;
    let short = json!({"status": {"observedGeneration": generation, "replicas": 1}});
    let stateful_sets = namespace.stateful_sets();
    let params = PatchParams::default();
    stateful_sets.patch_status(set.name(), &params, &Patch::Merge(short)).await?;
    expect_in(&log, told).await?;
    set.create_leaders().await?;
    set.valid_worker_sets().await?;
    set.expect_no_failure().await?;
    let count = std::fs::read_to_string(&log)?.matches(told).count();
    restore(&namespace, whole).await?;
    anyhow::ensure!(count == 1, "told {count} times");
    Ok(())
}

fn first_controller(system: &mut System) -> Result<&mut Component> {
    system.controllers().first_mut().context("a controller runs")
}

async fn expect_in(log: &Path, text: &str) -> Result<()> {
    let look = async || -> std::io::Result<_> {
        Ok(std::fs::read_to_string(log)?.contains(text).then_some(()))
    };
    Ok(wait::eventually(DEADLINE, text, look).await?)
}

/// Takes verbs on a resource from the controller; gives its role as it was.
async fn without(namespace: &Namespace, resource: &str, verbs: &[&str]) -> Result<ClusterRole> {
    let api: Api<ClusterRole> = Api::all(namespace.client());
    let whole = api.get("lws-manager-role").await?;
    let mut role = whole.clone();
    let rules = role.rules.as_mut().context("the role has rules")?;
    for rule in rules.iter_mut().filter(|rule| {
        rule.resources.as_ref().is_some_and(|all| all.iter().any(|it| it == resource))
    }) {
        rule.verbs.retain(|verb| !verbs.contains(&verb.as_str()));
    }
    api.replace("lws-manager-role", &PostParams::default(), &role).await?;
    Ok(whole)
}

async fn restore(namespace: &Namespace, mut whole: ClusterRole) -> Result<()> {
    let api: Api<ClusterRole> = Api::all(namespace.client());
    whole.metadata.resource_version = None;
    api.replace("lws-manager-role", &PostParams::default(), &whole).await?;
    Ok(())
}
