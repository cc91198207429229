//! What shells offer for the words of a command line.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-lws");

/// What kubectl is told that the last of `words` may become.
fn candidates(words: &[&str]) -> BTreeSet<String> {
    let directory = Path::new(PROGRAM).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/kubectl_complete-lws"));
    let output = script.args(words).env("PATH", format!("{}:{path}", directory.display()));
    let output = output.output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_word_is_completed() {
    for (words, expected) in [
        (&["st"][..], &["status"][..]),
        (&["rollout", "u"], &["undo"]),
        (&["rollout", "re"], &["restart", "resume"]),
        (&["-n", "a", "rollout", "h"], &["help", "history"]),
        (&["rollout", "undo", "--to"], &["--to-revision"]),
        (&["status", "s", "--w"], &["--watch"]),
        (&["status", "-o", ""], &["json", "table", "yaml"]),
        (&["completion", "b"], &["bash"]),
    ] {
        let expected = expected.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(candidates(words), expected, "{words:?}");
    }
    let commands = candidates(&["rollout", ""]);
    for command in ["status", "history", "undo", "pause", "resume", "restart", "--context"] {
        assert!(commands.contains(command), "{command}: {commands:?}");
    }
}

#[test]
fn bash_completes_the_name_with_a_dash() {
    let script = "source <(\"$1\" completion bash) && complete -p kubectl-lws";
    let output = Command::new("bash").args(["-c", script, "bash", PROGRAM]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("-F _kubectl_lws"), "{text}");
}

#[test]
fn every_shell_has_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = Command::new(PROGRAM).args(["completion", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("kubectl-lws"), "{shell}: {script}");
    }
}
