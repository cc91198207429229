//! What programs in Go, such as the existing implementation, store as certificates, and what they make of ours.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;

/// The content of a Secret: PEM by key.
pub type Content = BTreeMap<String, String>;

/// An authority and a certificate for `host`, in the form that the existing implementation stores.
pub async fn issue_certificate(host: &str) -> Result<Content> {
    Ok(serde_json::from_str(&run("issue", host, "").await?)?)
}

/// Fails unless a server in Go can serve `host` with this, and a client in Go trusts it, now and in 90 days: then the
/// existing implementation keeps it.
pub async fn read_certificate(host: &str, content: &Content) -> Result<()> {
    run("read", host, &serde_json::to_string(content)?).await.map(drop)
}

/// Runs the program of `tests/go-vectors/certificates`.
async fn run(command: &str, host: &str, input: &str) -> Result<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../go-vectors");
    let mut go = tokio::process::Command::new("go");
    go.args(["run", "./certificates", command, host]).current_dir(directory).kill_on_drop(true);
    go.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = go.spawn().context("run go")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command} {host}: {error}");
    Ok(String::from_utf8(output.stdout)?)
}
