//! The benchmarks that write the guide, in small: each runs to its end, finds what it looks for, and writes its part.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed step is a failed test"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The guide's pages that benchmarks write, and its pictures.
const PAGES: [&str; 2] = ["performance.md", "reliability.md"];

/// MiB that a process may have more of at the end of a short run than after a quarter of it: caches still fill.
const MEMORY: f64 = 4.0;

/// Runs a benchmark on a copy of the guide, and gives that and what the benchmark has put on a page of it.
fn written(page: &str, command: &str, arguments: &[&str]) -> (TempDir, String) {
    let guide = tempfile::tempdir().unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for page in PAGES {
        std::fs::copy(docs.join(page), guide.path().join(page)).unwrap();
    }
    std::fs::create_dir(guide.path().join("images")).unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_lws-bench"));
    let output = bench.args(arguments).arg("--guide").arg(guide.path()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}: {errors}", output.status);
    assert_eq!(errors, "");
    let page = std::fs::read_to_string(guide.path().join(page)).unwrap();
    let (_, rest) = page.split_once(&format!("<!-- {command} -->")).unwrap();
    let (part, _) = rest.split_once(&format!("<!-- end of {command} -->")).unwrap();
    // Every picture that is shown is there.
    for (_, shown) in part.match_indices("](images/").map(|(at, _)| part.split_at(at + 2)) {
        let (file, _) = shown.split_once(')').unwrap();
        assert!(guide.path().join(file).is_file(), "{file}");
    }
    let part = part.to_owned();
    (guide, part)
}

/// The cells of the row of a table that begins with `name`.
fn row<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let cells = |line: &'a str| line.split('|').map(str::trim).skip(1).collect::<Vec<_>>();
    let found = text.lines().map(cells).find(|it| it.first() == Some(&name));
    found.unwrap_or_else(|| panic!("there is no row {name:?} in\n{text}"))
}

fn number(cell: &str) -> f64 {
    cell.parse().unwrap_or_else(|_| panic!("{cell:?} is no number"))
}

#[test]
fn the_life_of_a_set_is_measured() {
    let (_guide, text) = written("performance.md", "make bench-scale", &["scale", "groups-10"]);
    assert!(text.contains("#### 1 set of 10 groups of 4"), "{text}");
    for step in
        ["create", "left alone", "update", "add half as many groups", "remove them", "delete"]
    {
        row(&text, step);
    }
    // The revision, the Service, and the StatefulSet of the workers of each group (that of the leaders is applied, which
    // counts as a patch); then a revision and the workers' StatefulSets anew.
    let creations = |step| row(&text, step)[8];
    assert_eq!(
        [creations("create"), creations("left alone"), creations("update")],
        ["12", "0", "11"],
        "{text}"
    );
    assert_eq!(creations("add half as many groups"), "5", "{text}");
    // How often a status is written depends on how much changes between two looks: a slow machine writes less or more.
    let requests = |step| number(row(&text, step)[6]);
    assert!(requests("create") <= 100.0, "{text}");
    assert!(requests("update") <= 200.0, "{text}");
    assert!(requests("left alone").abs() < f64::EPSILON, "{text}");
    assert!(text.contains("Processors, create:"), "{text}");
    assert!(text.contains("The most pods that were ready at once: 60."), "{text}");
}

#[test]
fn failures_and_rest_of_sets_are_measured() {
    let arguments = ["controller", "recreate", "settled"];
    let (_guide, text) = written("performance.md", "make bench", &arguments);
    for figure in ["groups not recreated, of 10", "requests in 10 s"] {
        assert_eq!(row(&text, figure)[1], "0", "{text}");
    }
}

#[test]
fn starts_and_rest_are_measured() {
    let arguments = ["startup", "--starts=2", "--sets=4", "--resting-sets=2", "--seconds=2"];
    let (_guide, text) = written("performance.md", "make bench-startup", &arguments);
    for figure in [
        "size of lws-controller, MiB",
        "lws-webhook listens, slowest of 2, ms",
        "first reconcile with 4 sets, slowest of 2, ms",
    ] {
        assert!(number(row(&text, figure)[1]) > 0.0, "{text}");
    }
    // What rests may use too little to be told.
    number(row(&text, "lws-controller at rest with 2 sets, % of a processor")[1]);
}

#[test]
fn what_works_for_long_keeps_neither_files_nor_memory() {
    let arguments = ["endurance", "--admissions=6000", "--reconciles=400"];
    let (_guide, text) = written("reliability.md", "make endurance", &arguments);
    for process in ["**The webhook**", "**The controller**"] {
        let (_, text) = text.split_once(process).unwrap();
        assert!(number(row(text, "more open files in the end")[1]) <= 0.0, "{process}: {text}");
        // There are too few looks for the other verdicts. A few KiB for each review or reconcile would be far more.
        let [quarter, end] = ["quarter", "end"].map(|it| number(row(text, it)[2]));
        assert!(end - quarter <= MEMORY, "{process}: {text}");
    }
}

#[test]
fn the_webhook_under_load_is_measured() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_lws-bench"));
    let output = bench.args(["admission", "worker", "--requests=200"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for figure in ["CPU per request, µs, 1 connection", "CPU per request, µs, 32 connections"] {
        assert!(number(row(&text, figure)[1]) > 0.0, "{text}");
    }
}

#[test]
fn stacks_are_drawn() {
    let stacks = "lws-webhook 7/8 1.5: cycles:\n\t1 inner (/bin/x)\n\t2 outer (/bin/x)\n\n";
    let mut bench = Command::new(env!("CARGO_BIN_EXE_lws-bench"));
    bench.args(["flame-graph", "--title", "the load"]);
    let mut drawing = bench.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drawing.stdin.take().unwrap().write_all(stacks.as_bytes()).unwrap();
    let output = drawing.wait_with_output().unwrap();
    assert!(output.status.success());
    let picture = String::from_utf8(output.stdout).unwrap();
    for part in ["<svg", "the load", "lws-webhook", "inner", "outer"] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
}

#[test]
fn the_arithmetic_is_measured() {
    let (_guide, text) = written("performance.md", "make bench-planner", &["planner", "10", "100"]);
    assert!(number(row(&text, "ns a group-step, 100 groups")[1]) > 0.0, "{text}");
}
