//! Every manifest is applied as users apply it, and comes to what it is for.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use futures::future::try_join_all;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use lws_e2e::{DEADLINE, Namespace, TestSet};
use lws_harness::wait;
use lws_runtime::config;
use lws_runtime::flags::Flags;
use serde_json::Value;

use crate::sources::{Content, Manifest, blocks, samples};
use crate::{scheduler, world};

/// Manifests about the objects of others, which are applied before them.
const NEEDS: [(&str, &str); 1] =
    [("deploy/samples/horizontal-pod-autoscaler.yaml", "deploy/samples/lws.yaml")];

/// Kinds that are there once they are accepted: nothing that runs here acts on them.
const PASSIVE: [&str; 1] = ["Service"];

#[tokio::test]
async fn every_manifest_is_applied_and_its_sets_become_available() -> Result<()> {
    let mut manifests: BTreeMap<_, _> =
        samples()?.into_iter().map(|it| (it.place.clone(), it)).collect();
    ensure!(manifests.len() >= 12, "only {} samples", manifests.len());
    for (_, content) in blocks()? {
        if let Content::Objects(manifest) = content {
            manifests.insert(manifest.place.clone(), manifest);
        }
    }
    for (place, needed) in NEEDS {
        ensure!(manifests.contains_key(place) && manifests.contains_key(needed), "{place}");
    }
    let tried = manifests.values().map(async |it| {
        let needed = NEEDS.iter().find(|(place, _)| *place == it.place);
        let needed = needed.and_then(|(_, needed)| manifests.get(*needed));
        try_out(needed, it).await.with_context(|| it.place.clone())
    });
    let tried = try_join_all(tried).await?;
    ensure!(tried.len() == manifests.len());
    Ok(())
}

/// Applies a manifest in a namespace of its own and waits until it has come to what it is for.
async fn try_out(needed: Option<&Manifest>, manifest: &Manifest) -> Result<()> {
    let namespace = world::environment().await?.namespace().await?;
    let work = async {
        for manifest in needed.into_iter().chain([manifest]) {
            apply(&namespace, manifest).await?;
            for object in &manifest.objects {
                comes_about(&namespace, object).await?;
            }
        }
        Ok(())
    };
    scheduler::beside(&namespace, work).await
}

/// Applies it on the server side; there must be no warning.
async fn apply(namespace: &Namespace, manifest: &Manifest) -> Result<()> {
    let cluster = world::environment().await?.cluster();
    let name = manifest.place.replace(['/', ':'], "-");
    let file = world::file(&name, &manifest.text).await?;
    let file = file.to_string_lossy();
    let arguments = ["apply", "--server-side", "--namespace", namespace.name(), "-f", &file];
    let output = cluster.kubectl(&arguments).await?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && complaints.is_empty(), "{complaints}");
    let applied = String::from_utf8_lossy(&output.stdout);
    ensure!(applied.lines().count() == manifest.objects.len(), "{applied}");
    Ok(())
}

/// Waits until an object is what it is for.
async fn comes_about(namespace: &Namespace, object: &Value) -> Result<()> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = text("/metadata/name");
    match text("/kind") {
        "LeaderWorkerSet" => {
            TestSet::named(namespace.clone(), name).expect_conditions("available").await
        }
        "HorizontalPodAutoscaler" => can_scale(namespace, name).await,
        kind => {
            ensure!(PASSIVE.contains(&kind), "what is a {kind} to come to?");
            Ok(())
        }
    }
}

/// Waits until an autoscaler has found what it scales. Nobody measures load here, so it never does.
async fn can_scale(namespace: &Namespace, name: &str) -> Result<()> {
    let api = namespace.api::<HorizontalPodAutoscaler>();
    let look = async || {
        let status = api.get(name).await?.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default().into_iter();
        let conditions = conditions.map(|it| format!("{}={}", it.type_, it.status));
        Ok::<_, kube::Error>(conditions.collect::<Vec<_>>())
    };
    let is = |seen: &Vec<String>| seen.iter().any(|it| it == "AbleToScale=True");
    wait::until(DEADLINE, "the autoscaler finds the set", look, is).await?;
    Ok(())
}

/// The flags of the programs.
#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    flags: Flags,
}

#[test]
fn every_configuration_is_accepted() -> Result<()> {
    let mut accepted = 0;
    for (page, content) in blocks()? {
        let Content::Configuration(text) = content else { continue };
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("configuration.yaml");
        std::fs::write(&file, text)?;
        let program = Program::try_parse_from(["program", "--config", &file.to_string_lossy()])?;
        config::load(&program.flags).with_context(|| page.display().to_string())?;
        accepted += 1;
    }
    ensure!(accepted > 0, "no configuration is documented");
    Ok(())
}
