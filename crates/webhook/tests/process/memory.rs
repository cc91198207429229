//! The memory of the process, whatever is sent: it stays below the limit of the Deployment.

use futures::future::join_all;
use lws_certs::issue::Authority;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::{DEADLINE, Process, connect, exchange, issue_certificate, send_review};

/// What `deploy/webhook` permits.
pub(crate) const MEMORY: u64 = 256 * 1024 * 1024;

/// The largest body.
pub(crate) const LIMIT: usize = 7_340_032;

pub(crate) const POD: &str = "/mutate--v1-pod";
const MUTATE_SET: &str = "/mutate-leaderworkerset-x-k8s-io-v1-leaderworkerset";
const VALIDATE_SET: &str = "/validate-leaderworkerset-x-k8s-io-v1-leaderworkerset";

/// The beginning of a review, up to its objects.
fn head(operation: &str) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"{operation}","namespace":"default""#
    )
}

/// `item` as often as `bytes` hold, separated by commas.
fn items(bytes: usize, item: &str) -> String {
    vec![item; bytes / (item.len() + 1)].join(",")
}

/// A review of the change of an object in which `item` is repeated, with as much before as after
/// it.
fn updated(bytes: usize, before: &str, item: &str, after: &str) -> String {
    let (head, items) = (head("UPDATE"), items(bytes, item));
    let object =
        |replicas| format!(r#"{{"spec":{{"replicas":{replicas},"x":{before}{items}{after}}}}}"#);
    format!(r#"{head},"object":{},"oldObject":{}}}}}"#, object(1), object(2))
}

/// A review of an object in which `item` is repeated, separated by commas, up to `bytes`.
fn filled(bytes: usize, before: &str, item: &str, after: &str) -> String {
    let head = format!(r#"{},"object":"#, head("CREATE"));
    let items = items(bytes - head.len() - before.len() - after.len() - 2, item);
    format!("{head}{before}{items}{after}}}}}")
}

pub(crate) fn leader(bytes: usize, spec: &str, item: &str, end: &str) -> String {
    let before = r#"{"metadata":{"name":"test-1","labels":{"leaderworkerset.sigs.k8s.io/name":"test","leaderworkerset.sigs.k8s.io/worker-index":"0"},"annotations":{"leaderworkerset.sigs.k8s.io/size":"2"}},"spec":"#;
    filled(bytes, &format!("{before}{spec}"), item, &format!("{end}}}"))
}

pub(crate) async fn post(
    process: &Process,
    authority: &Authority,
    path: &str,
    body: &str,
) -> String {
    let stream = connect(process, authority, &[]).await;
    let request = format!(
        "POST {path}?timeout=30s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(stream, &request).await
}

/// The most memory that the process has had.
pub(crate) fn peak(process: &Process) -> u64 {
    let path = format!("/proc/{}/status", process.child.id().unwrap());
    let status = std::fs::read_to_string(path).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Large bodies of one kind, many at once: answered or sent back, and small reviews in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_reviews_do_not_take_all_memory() {
    let directory = tempfile::tempdir().unwrap();
    let authority = issue_certificate(directory.path());
    let process = Process::start(directory.path(), &[]).await;
    process.ready().await;
    let mut halves = Vec::new();
    for _ in 0..50 {
        let mut half = connect(&process, &authority, &[]).await;
        let head = "POST /mutate--v1-pod HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                    content-length: 32768\r\n\r\n";
        half.write_all(head.as_bytes()).await.unwrap();
        half.write_all(&vec![b' '; 30_000]).await.unwrap();
        halves.push(half);
    }
    let list = (r#"{"a":["#, "]}");
    let long = "\u{7f}".repeat(LIMIT / 4);
    for (what, path, body, code) in [
        ("text", POD, filled(LIMIT, r#"{"a":""#, &"x".repeat(7_000_000), "\"}"), 200),
        ("a quotation", POD, filled(LIMIT / 3, r#"{"metadata":""#, &long, "\"}"), 400),
        ("containers", POD, leader(LIMIT, r#"{"containers":["#, "{}", "]}"), 413),
        ("containers", POD, leader(1_100_000, r#"{"containers":["#, "{}", "]}"), 403),
        ("containers", POD, leader(40_000, r#"{"containers":["#, "{}", "]}"), 200),
        (
            "variables",
            POD,
            leader(1_500_000, r#"{"containers":[{"env":["#, r#"{"name":"A"}"#, "]}]}"),
            413,
        ),
        (
            "variables",
            POD,
            leader(750_000, r#"{"containers":[{"env":["#, r#"{"name":"A"}"#, "]}]}"),
            200,
        ),
        (
            "amounts",
            POD,
            leader(
                430_000,
                r#"{"containers":[{"resources":{"limits":{"google.com/tpu":["#,
                r#"{"":0}"#,
                "]}}}]}",
            ),
            200,
        ),
        ("fields", MUTATE_SET, filled(LIMIT, list.0, r#"{"":0}"#, list.1), 413),
        ("fields", MUTATE_SET, filled(430_000, list.0, r#"{"":0}"#, list.1), 200),
        ("fields", VALIDATE_SET, filled(430_000, list.0, r#"{"":0}"#, list.1), 403),
        ("a change", VALIDATE_SET, updated(430_000, "[", r#"{"":0}"#, "]"), 403),
        ("a change", VALIDATE_SET, updated(550_000, "[", r#"{"":0}"#, "]"), 413),
    ] {
        let answers = join_all((0..8).map(|_| post(&process, &authority, path, &body)));
        let (answers, small) =
            tokio::join!(timeout(DEADLINE * 2, answers), send_review(&process, &authority));
        assert!(small.contains(r#""allowed":true"#), "beside {what}: {small}");
        let expected = format!("\"code\":{code}");
        let mut judged = 0;
        for answer in answers.unwrap() {
            let (head, text) = answer.split_once("\r\n\r\n").unwrap();
            // A slow machine does not send them all in time.
            if head.starts_with("HTTP/1.1 503 ") {
                assert!(head.to_lowercase().contains("\r\nretry-after: 1"), "{head}");
            } else if !text.contains("\"code\":504") {
                let told = text.get(..300).unwrap_or(text);
                assert!(text.contains(&expected), "{what} of {} bytes: {told}", body.len());
                judged += 1;
            }
        }
        assert!(judged > 0, "{what}");
        let peak = peak(&process);
        assert!(peak < MEMORY, "{what} of {} bytes: {peak} bytes", body.len());
    }
    drop(halves);
}
