//! The commands that are run, which are those that are shown.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::say;
use crate::state::Access;

/// The cluster's kubectl.
#[derive(Debug)]
pub(crate) struct Kubectl<'a> {
    access: &'a Access,
}

impl<'a> Kubectl<'a> {
    /// The kubectl of a cluster.
    pub(crate) fn new(access: &'a Access) -> Self {
        Self { access }
    }

    /// Applies a file; gives the objects in it, as they are stored now. What kubectl says, such as warnings, is passed on;
    /// when it fails, the error is what it says.
    pub(crate) async fn apply(&self, file: &Path) -> Result<Vec<Value>> {
        let mut applied = self.start(&["apply", "-f", &file.to_string_lossy()])?.await?;
        Ok(match applied.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => vec![applied],
        })
    }

    /// Begins to apply a JSON patch to a set; gives the set as it is stored afterwards.
    pub(crate) fn patch_set(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<impl Future<Output = Result<Value>> + use<>> {
        let patch = format!("--patch={patch}");
        let mut args = vec!["patch", "leaderworkerset", name, "--type=json", &patch];
        if namespace != "default" {
            args.extend(["--namespace", namespace]);
        }
        self.start(&args)
    }

    /// Shows and starts a command that answers with an object.
    fn start(&self, args: &[&str]) -> Result<impl Future<Output = Result<Value>> + use<>> {
        let shown: Vec<_> = args.iter().map(|arg| quoted(arg)).collect();
        say(&format!("$ kubectl {}", shown.join(" ")))?;
        let Access { kubectl, kubeconfig, .. } = self.access;
        let mut command = Command::new(kubectl);
        command.arg("--kubeconfig").arg(kubeconfig).args(args).args(["--output", "json"]);
        command.env("KUBERC", "off");
        command.env("KUBECACHEDIR", kubeconfig.with_file_name("kubectl-cache"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("cannot run {}", kubectl.display()))?;
        Ok(answer(child))
    }
}

/// The object that a command answers with.
async fn answer(child: Child) -> Result<Value> {
    let output = child.wait_with_output().await.context("cannot wait for kubectl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("kubectl says:\n{}", said.trim_end());
    }
    if !said.trim_end().is_empty() {
        say(said.trim_end())?;
    }
    serde_json::from_slice(&output.stdout).context("cannot read the answer of kubectl")
}

/// An argument as it is typed in a shell.
fn quoted(arg: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./,:@%+".contains(&byte);
    if !arg.is_empty() && arg.bytes().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_can_be_pasted_into_a_shell() {
        for (arg, text) in [
            ("deploy/samples/lws.yaml", "deploy/samples/lws.yaml"),
            ("--patch=[{\"a\": 1}]", "'--patch=[{\"a\": 1}]'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(arg), text);
        }
    }
}
