//! Authorities and certificates change every few seconds, while sets are admitted through two replicas.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::{Method, Request};
use kube::{Client, Config};
use lws_certs::bundle::Bundle;
use lws_harness::system::{Certificates, NAMESPACE, SystemOptions};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::installation::{Installation, MUTATING};

const SERVICE: &str = "lws-webhook-service";

/// How long load and rotation last.
const DURATION: Duration = Duration::from_mins(1);

/// One request each: 200 in a second.
const PACE: Duration = Duration::from_millis(5);

/// More are not sent at once, so that a busy machine slows the load down instead of failing it.
const IN_FLIGHT: usize = 40;

/// A machine that sends less than this part of the load has tested nothing.
const SHARE: f64 = 0.2;

/// How long an authority is trusted before a certificate that it has signed is served.
const TRUST_BEFORE: Duration = Duration::from_secs(3);

/// An authority every 12 s, a serving certificate every 9 s at the latest.
fn rotation() -> Value {
    json!({
        "authorityLifetime": "1h12s",
        "certificateLifetime": "1h9s",
        "renewBefore": "1h",
        "trustBefore": format!("{}s", TRUST_BEFORE.as_secs()),
        "distrustAfter": "6s",
    })
}

/// X-22.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_certificates_change() -> Result<()> {
    let options = SystemOptions {
        webhook: false,
        certificates: Certificates::OfController,
        rotation: rotation(),
        ..SystemOptions::default()
    };
    let delays = [Duration::from_millis(100), Duration::from_secs(1)];
    let installation = Arc::new(Installation::new(&options, &delays).await?);
    installation.webhooks.ready().await?;
    installation.admits().await?;

    let end = Instant::now() + DURATION;
    let changes = tokio::spawn(changes(installation.clone(), end));
    let connections = tokio::spawn(new_connections(installation.clone(), end));
    let admitted = admissions(&installation, end).await?;
    let (connected, served) = ended(connections).await?;
    let (authorities, certificates) = ended(changes).await?;
    // Old ones go, sooner or later.
    installation.trusted().await?;

    let summary = format!(
        "{admitted} requests and {connected} new connections, which were served {served} \
         certificates, while {authorities} authorities and {certificates} certificates were stored"
    );
    #[allow(clippy::print_stdout, reason = "for people who run it with --nocapture")]
    {
        println!("{summary}");
    }
    ensure!(authorities >= 4 && certificates >= authorities, "too few changes: {summary}");
    // Between two looks, and while a volume is late, one may pass.
    ensure!(served + 1 >= authorities, "too few changes are served: {summary}");
    let sent = u32::try_from(admitted).map(f64::from)?;
    let wanted = DURATION.div_duration_f64(PACE) * SHARE;
    ensure!(sent >= wanted && connected >= 100, "too little load: {summary}");
    Ok(())
}

/// Sends requests through the API server; gives how many were admitted. One that fails is an error.
async fn admissions(installation: &Arc<Installation>, end: Instant) -> Result<usize> {
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut requests = JoinSet::new();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut admitted = 0;
    while Instant::now() < end {
        pace.tick().await;
        let permit = in_flight.clone().acquire_owned().await?;
        let installation = installation.clone();
        requests.spawn(async move {
            let answer = installation.try_create_set().await;
            drop(permit);
            answer
        });
        while let Some(answer) = requests.try_join_next() {
            answer?.with_context(|| format!("after {admitted} requests"))?;
            admitted += 1;
        }
    }
    while let Some(answer) = requests.join_next().await {
        answer?.with_context(|| format!("after {admitted} requests"))?;
        admitted += 1;
    }
    Ok(admitted)
}

/// Opens a new connection to each replica again and again, as an API server does that has learnt of the present trust
/// up to a second ago; gives how many were served, and with how many certificates. One that fails is an error.
async fn new_connections(installation: Arc<Installation>, end: Instant) -> Result<(usize, usize)> {
    let mut served = 0;
    let mut certificates = BTreeSet::new();
    while Instant::now() < end {
        let known = Instant::now();
        let bundle = installation.bundles(MUTATING).await?.concat();
        for replica in installation.webhooks.replicas().iter().cycle() {
            if known.elapsed() > Duration::from_secs(1) {
                break;
            }
            let context = || format!("port {} after {served} connections", replica.port());
            let answer = async {
                review(replica.port(), &bundle).await?;
                presented(replica.port(), &bundle).await
            };
            match answer.await.with_context(context) {
                Ok(certificate) => certificates.insert(certificate),
                // No API server is that late.
                Err(_) if known.elapsed() > TRUST_BEFORE => break,
                Err(error) => return Err(error),
            };
            served += 1;
        }
    }
    Ok((served, certificates.len()))
}

/// The certificate that a replica presents to a client that trusts `bundle` alone.
async fn presented(port: u16, bundle: &str) -> Result<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(authority?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from(format!("{SERVICE}.{NAMESPACE}.svc"))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let presented = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    Ok(presented.context("no certificate")?.to_vec())
}

/// Has a replica judge a pod, and trusts `bundle` alone.
pub(crate) async fn review(port: u16, bundle: &str) -> Result<()> {
    let mut config = Config::new(format!("https://127.0.0.1:{port}").parse()?);
    config.default_retry = false;
    config.tls_server_name = Some(format!("{SERVICE}.{NAMESPACE}.svc"));
    let certificates = CertificateDer::pem_slice_iter(bundle.as_bytes());
    config.root_cert = Some(certificates.map(|it| Ok(it?.to_vec())).collect::<Result<_>>()?);
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "u-1", "operation": "CREATE", "object": {"metadata": {"name": "p"}}},
    });
    let request = Request::builder().method(Method::POST).uri("/mutate--v1-pod");
    let request = request.header("content-type", "application/json");
    let text =
        Client::try_from(config)?.request_text(request.body(serde_json::to_vec(&review)?)?).await?;
    ensure!(text.contains(r#""allowed":true"#), "{text}");
    Ok(())
}

/// How many authorities and serving certificates are in use, one after the other.
async fn changes(installation: Arc<Installation>, end: Instant) -> Result<(usize, usize)> {
    let (mut authorities, mut certificates) = (BTreeSet::new(), BTreeSet::new());
    while Instant::now() < end {
        authorities.insert(installation.stored("ca.crt").await?);
        certificates.insert(installation.stored("tls.crt").await?);
        for bundle in installation.bundles(MUTATING).await? {
            ensure!(Bundle::from_pem(&bundle).to_pem() == bundle, "{bundle}");
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok((authorities.len(), certificates.len()))
}

async fn ended<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    task.await?
}
