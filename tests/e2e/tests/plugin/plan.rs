//! `plan`: what an apply would do, without a write.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use lws_api_types::keys;
use lws_e2e::fixture::IMAGE;
use lws_e2e::{Fixture, Namespace};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{at, complaint, environment, namespace, settled, text};

/// A file with the set of a fixture.
fn file(fixture: &Fixture, change: impl FnOnce(&mut Value)) -> Result<NamedTempFile> {
    let object = fixture.object();
    let mut document = json!({
        "apiVersion": keys::API_VERSION, "kind": keys::KIND,
        "metadata": object.metadata, "spec": object.data.get("spec"),
    });
    change(&mut document);
    let mut file = NamedTempFile::new()?;
    file.write_all(&serde_json::to_vec(&document)?)?;
    Ok(file)
}

fn plan(file: &NamedTempFile) -> Result<[&str; 3]> {
    Ok(["plan", "-f", file.path().to_str().context("the path is no text")?])
}

async fn planned(namespace: &Namespace, file: &NamedTempFile) -> Result<Value> {
    Ok(at(&crate::report(namespace, &plan(file)?).await?, "/0").clone())
}

const WORKER_IMAGE: &str = "/spec/leaderWorkerTemplate/workerTemplate/spec/containers/0/image";

#[tokio::test]
async fn a_new_image_is_told_with_its_rollout_and_nothing_is_written() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let before = set.live().await?;
    let file = file(&Fixture::default(), |it| {
        if let Some(image) = it.pointer_mut(WORKER_IMAGE) {
            *image = json!("example.org/new");
        }
    })?;
    let report = planned(set.namespace(), &file).await?;
    let field = "spec.leaderWorkerTemplate.workerTemplate.spec.containers[worker].image";
    let expected = json!([{
        "field": field, "before": IMAGE, "after": "example.org/new", "newRevision": true,
    }]);
    anyhow::ensure!(report["changes"] == expected, "{report:#}");
    anyhow::ensure!(report["newRevision"] == true, "{report:#}");
    let stages = report["rollout"].as_array().context("no rollout")?;
    let partitions: Vec<_> = stages.iter().map(|it| it["partition"].clone()).collect();
    anyhow::ensure!(partitions == [2, 1, 0, 0], "{report:#}");
    let text = text(set.namespace(), &plan(&file)?).await?;
    anyhow::ensure!(text.contains("group 1 ready   0           2          old   new"), "{text}");
    anyhow::ensure!(set.live().await? == before, "the set has changed");
    // The revision that was foretold is the one that comes.
    set.change_workers("example.org/new").await?;
    anyhow::ensure!(report["revision"] == json!(set.key().await?), "{report:#}");
    Ok(())
}

#[tokio::test]
async fn defaults_count_and_what_is_as_it_was_is_no_change() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let file = file(&Fixture::default(), |it| {
        it["spec"]["leaderWorkerTemplate"]["restartPolicy"].take();
    })?;
    let report = planned(set.namespace(), &file).await?;
    anyhow::ensure!(report["changes"] == json!([]), "{report:#}");
    anyhow::ensure!(report["newRevision"] == false && report["rollout"] == json!([]), "{report:#}");
    Ok(())
}

#[tokio::test]
async fn a_field_that_kubectl_applies_no_more_is_told() -> Result<()> {
    let namespace = namespace().await?;
    let first = file(&Fixture::default(), |it| {
        it["metadata"]["annotations"] = json!({"example.org/note": "x"});
    })?;
    let path = first.path().to_str().context("the path is no text")?;
    let arguments = ["apply", "-n", namespace.name(), "-f", path];
    let applied = environment()?.cluster().kubectl(&arguments).await?;
    anyhow::ensure!(applied.status.success(), "{applied:?}");
    let report = planned(&namespace, &file(&Fixture::default(), |_| {})?).await?;
    let expected = json!([{
        "field": "metadata.annotations[example.org/note]",
        "before": "x", "after": null, "newRevision": false,
    }]);
    anyhow::ensure!(report["changes"] == expected, "{report:#}");
    Ok(())
}

#[tokio::test]
async fn a_set_that_is_not_there_would_be_created() -> Result<()> {
    let namespace = namespace().await?;
    let file = file(&Fixture::default(), |_| {})?;
    let report = planned(&namespace, &file).await?;
    anyhow::ensure!(report["created"] == true && report["rollout"] == json!([]), "{report:#}");
    let text = text(&namespace, &plan(&file)?).await?;
    anyhow::ensure!(text.contains("  create groups 0, 1: each 2 pods, a StatefulSet\n"), "{text}");
    anyhow::ensure!(namespace.sets().get_opt("test-sample").await?.is_none(), "it was created");
    Ok(())
}

#[tokio::test]
async fn what_the_server_refuses_is_told_in_its_words() -> Result<()> {
    let namespace = namespace().await?;
    let negative =
        file(&Fixture::default(), |it| it["spec"]["leaderWorkerTemplate"]["size"] = json!(-1))?;
    let unknown = file(&Fixture::default(), |it| it["spec"]["replica"] = json!(1))?;
    for (file, part) in [(negative, "size"), (unknown, "unknown field \"spec.replica\"")] {
        let (message, code) = complaint(&namespace, &plan(&file)?).await?;
        let is_told = message.starts_with("Error from server (") && message.contains(part);
        anyhow::ensure!(is_told && code == 1, "{message}");
    }
    Ok(())
}
