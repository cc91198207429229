//! `tree`: what a set consists of, and what is in its way.

use anyhow::{Context as _, Result};
use lws_e2e::Fixture;
use serde_json::Value;

use crate::{at, expect, namespace, settled, text};

const TREE: &[&str] = &["tree", "test-sample"];

/// The paths of all objects, each with those above it.
fn paths(object: &Value, above: &str, paths: &mut Vec<String>) {
    let word = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let path = format!(
        "{above}/{}",
        if word("kind") == "ControllerRevision" { word("kind") } else { word("name") }
    );
    paths.push(path.clone());
    for child in object["children"].as_array().into_iter().flatten() {
        self::paths(child, &path, paths);
    }
}

#[tokio::test]
async fn each_object_is_below_its_owner() -> Result<()> {
    let set = settled(&Fixture::default()).await?;
    let tree = crate::report(set.namespace(), TREE).await?;
    let mut found = Vec::new();
    paths(&tree, "", &mut found);
    let set_path = "/test-sample";
    let leaders = "/test-sample/test-sample";
    let mut expected = vec![
        set_path.to_owned(),
        format!("{set_path}/ControllerRevision"),
        // The Service, and the StatefulSet of the leaders.
        leaders.to_owned(),
        leaders.to_owned(),
    ];
    for group in [0, 1] {
        let leader = format!("{leaders}/{}", set.group(group));
        let workers = format!("{leader}/{}", set.group(group));
        let worker = format!("{workers}/{}", set.worker(group, 1));
        expected.extend([leader, workers, worker]);
    }
    anyhow::ensure!(found == expected, "{found:#?}");
    let text = text(set.namespace(), TREE).await?;
    anyhow::ensure!(text.contains(&format!("   ├─ Pod/{} ", set.group(0))), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_service_of_somebody_else_is_told() -> Result<()> {
    let namespace = namespace().await?;
    namespace.create_foreign_service().await?;
    let set = namespace.create_set(&Fixture::default()).await?;
    set.expect_failure(&["True FailedCreate: ", "service test-sample"]).await?;
    let problem = |tree: &Value| {
        let children = tree["children"].as_array()?;
        let service = children.iter().find(|it| it["kind"] == "Service")?;
        Some(at(service, "/problems/0").as_str()?.to_owned())
    };
    let tree = expect(&namespace, TREE, "the Service is shown", |it| problem(it).is_some()).await?;
    let problem = problem(&tree).context("no problem")?;
    anyhow::ensure!(problem == "is controlled by nobody", "{problem}");
    Ok(())
}
