//! Commands are typed as they stand in the documentation, and write what stands there.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use lws_documentation::{Block, Command, Page, pages, repository};
use lws_e2e::Namespace;
use lws_harness::processes::ProcessSpec;
use serde_json::Value;

use crate::{scheduler, world};

/// Pages with commands that are not typed here.
const NOT_TYPED: [(&str, &str); 1] =
    [("docs/rollouts.md", "shows how to watch a set that everybody has a name of their own for")];

/// Commands of other tests, and of people on their own machine.
const NOT_HERE: [&str; 3] =
    ["make ", "source <(kubectl-lws completion bash)", "kubectl-lws st<Tab>"];

/// The namespace that people begin with.
const NAMESPACE: &str = "default";

/// What stands for lines that are left out.
const GAP: &str = "…";

#[tokio::test]
async fn documented_commands_write_what_is_documented() -> Result<()> {
    let mut typed = Vec::new();
    for page in pages()? {
        let has_commands = page.blocks.iter().any(|block| !commands(block).is_empty());
        let is_typed = NOT_TYPED.iter().all(|(path, _)| page.path != Path::new(path));
        ensure!(has_commands || is_typed, "{} has no commands", page.path.display());
        if has_commands && is_typed {
            typed.push(page);
        }
    }
    ensure!(!typed.is_empty(), "no page has commands");
    let differences = try_join_all(typed.iter().map(type_all)).await?.concat();
    ensure!(differences.is_empty(), "these write something else:\n{}", differences.join("\n"));
    Ok(())
}

fn commands(block: &Block) -> Vec<Command> {
    if block.language == "console" { block.commands() } else { Vec::new() }
}

/// Types the commands of a page one after the other, in a namespace of its own; gives those that write something else
/// than the page says, with what they write.
async fn type_all(page: &Page) -> Result<Vec<String>> {
    let namespace = world::environment().await?.namespace().await?;
    scheduler::beside(&namespace, type_in(page, &namespace)).await
}

async fn type_in(page: &Page, namespace: &Namespace) -> Result<Vec<String>> {
    let kubeconfig = kubeconfig(namespace.name()).await?;
    let mut differences = Vec::new();
    for block in &page.blocks {
        for command in commands(block) {
            if NOT_HERE.iter().any(|it| command.text.starts_with(it)) {
                continue;
            }
            let (succeeds, output) = type_one(&command.text, &kubeconfig).await?;
            let output = output.replace(namespace.name(), NAMESPACE);
            let lines: Vec<_> = output.lines().map(masked).collect();
            let expected: Vec<_> = command.output.iter().map(|it| masked(it)).collect();
            let fails = command.output.iter().any(|it| it.starts_with("error: "));
            if succeeds == fails || !agrees(&expected, &lines) {
                let place = page.place(block.line);
                differences.push(format!("{place}: $ {}\n{output}", command.text));
            }
        }
    }
    Ok(differences)
}

/// Runs a command in the repository; gives whether it succeeds, and all that it writes.
async fn type_one(command: &str, kubeconfig: &Path) -> Result<(bool, String)> {
    let cluster = world::environment().await?.cluster();
    let kubectl = cluster.kubectl_path()?;
    let plugin = ProcessSpec::tool("kubectl-lws")?.program;
    let folders = [&kubectl, &plugin].map(|it| it.parent().map(Path::to_owned).unwrap_or_default());
    let present = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&present)))?;
    let output = tokio::process::Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(repository())
        .env("PATH", path)
        .env("KUBECONFIG", kubeconfig)
        .env("KUBERC", "off")
        .env("KUBECACHEDIR", cluster.dir().join("kubectl-cache"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    Ok((output.status.success(), String::from_utf8(output.stdout)?))
}

/// The administrator's kubeconfig, with a namespace to begin with.
async fn kubeconfig(namespace: &str) -> Result<std::path::PathBuf> {
    let text = std::fs::read_to_string(world::environment().await?.cluster().kubeconfig())?;
    let mut config: Value = serde_saphyr::from_str(&text)?;
    let context = config.pointer_mut("/contexts/0/context").context("no context")?;
    context["namespace"] = namespace.into();
    world::file(&format!("{namespace}.kubeconfig"), &serde_json::to_string(&config)?).await
}

/// A line without what differs from run to run: ages, nodes and their pools, and the width of columns.
fn masked(line: &str) -> String {
    let is_age = |word: &str| {
        let units = word.split(|it: char| it.is_ascii_digit()).filter(|it| !it.is_empty());
        word.starts_with(|it: char| it.is_ascii_digit())
            && word.ends_with(['s', 'm', 'h', 'd'])
            && units.into_iter().all(|it| ["s", "m", "h", "d"].contains(&it))
    };
    let word = |word: &str| match word {
        it if it.starts_with("node-") => "<node>".to_owned(),
        it if it.starts_with("pool-") => "<pool>".to_owned(),
        it if is_age(it) => "<age>".to_owned(),
        it => it.to_owned(),
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// Whether lines are as expected, where a gap stands for any number of them.
fn agrees(expected: &[String], seen: &[String]) -> bool {
    match expected {
        [] => seen.is_empty(),
        [gap, rest @ ..] if gap == GAP => {
            (0..=seen.len()).any(|skipped| agrees(rest, seen.get(skipped..).unwrap_or_default()))
        }
        [first, rest @ ..] => {
            seen.split_first().is_some_and(|(seen, others)| first == seen && agrees(rest, others))
        }
    }
}

#[test]
fn lines_are_compared_with_gaps_and_without_ages() {
    let lines = |text: &str| text.lines().map(masked).collect::<Vec<_>>();
    let seen = "NAME   AGE  NODE\na-0  12s   node-3\na-1    1m10s node-10\nend 3 ends";
    for (expected, agree) in [
        ("NAME AGE NODE\na-0 1s node-1\na-1 2s node-2\nend 3 ends", true),
        ("NAME AGE NODE\n…\nend 3 ends", true),
        ("NAME AGE NODE\n…\nend 4 ends", false),
        ("NAME AGE NODE\na-0 1s node-1", false),
        ("…", true),
        ("", false),
    ] {
        assert_eq!(agrees(&lines(expected), &lines(seen)), agree, "{expected}");
    }
}
