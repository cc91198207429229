//! Authorities and certificates change every few seconds, while sets are admitted through two replicas.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::{Method, Request};
use jiff::SignedDuration;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lws_certs::bundle::Bundle;
use lws_controller::act::Limiter;
use lws_controller::certificates::{Keeper, Metrics, Schedule, Settings};
use lws_controller::lease::Leadership;
use lws_harness::system::{NAMESPACE, SystemOptions};
use prometheus::Registry;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::installation::{Installation, MUTATING, SECRET};

const SERVICE: &str = "lws-webhook-service";

/// How long load and rotation last.
const DURATION: Duration = Duration::from_mins(1);

/// One request each: 200 in a second.
const PACE: Duration = Duration::from_millis(5);

/// More are not sent at once, so that a busy machine slows the load down instead of failing it.
const IN_FLIGHT: usize = 40;

const LEAD: SignedDuration = SignedDuration::from_hours(1);

/// An authority every 12 s, a serving certificate every 8 s at the latest.
const SCHEDULE: Schedule = Schedule {
    authority_lifetime: LEAD.saturating_add(SignedDuration::from_secs(10)),
    serving_lifetime: LEAD.saturating_add(SignedDuration::from_secs(8)),
    renew_before: LEAD,
    propagation: Duration::from_secs(2),
    retirement: Duration::from_secs(6),
};

/// X-22.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_certificates_change() -> Result<()> {
    let options = SystemOptions { webhook: false, controllers: 0, ..SystemOptions::default() };
    let delays = [Duration::from_millis(100), Duration::from_secs(1)];
    let installation = Arc::new(Installation::new(&options, &delays).await?);
    let (_leads, leadership) = watch::channel(Leadership::Unopposed);
    let keeping = tokio::spawn(keeper(&installation, leadership).await?.run());
    installation.ready().await?;
    installation.admits().await?;

    let end = Instant::now() + DURATION;
    let changes = tokio::spawn(changes(installation.clone(), end));
    let connections = tokio::spawn(new_connections(installation.clone(), end));
    let admitted = admissions(&installation, end).await?;
    let connected = ended(connections).await?;
    let (authorities, certificates) = ended(changes).await?;
    // Old ones go, sooner or later.
    installation.trusted().await?;
    keeping.abort();

    let summary = format!(
        "{admitted} requests and {connected} new connections while {authorities} authorities and \
         {certificates} certificates were in use"
    );
    #[allow(clippy::print_stdout, reason = "for people who run it with --nocapture")]
    {
        println!("{summary}");
    }
    ensure!(authorities >= 4 && certificates >= authorities, "too few changes: {summary}");
    ensure!(admitted >= 1000 && connected >= 100, "too little load: {summary}");
    Ok(())
}

/// What the controller runs while it leads, with its permissions, on another schedule.
async fn keeper(
    installation: &Installation,
    leadership: watch::Receiver<Leadership>,
) -> Result<Keeper> {
    let account = "lws-controller-manager";
    let kubeconfig = installation.cluster.service_account_kubeconfig(NAMESPACE, account).await?;
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    let [namespace, secret, service] = [NAMESPACE, SECRET, SERVICE].map(str::to_owned);
    let mut settings = Settings::new(namespace, secret, service)?;
    settings.schedule = SCHEDULE;
    let metrics = Metrics::register(&Registry::new())?;
    let keeper = Keeper::new(&Client::try_from(config)?, leadership, settings, metrics);
    Ok(keeper.at_the_rate_of(Limiter::new(100.0, 100)))
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
/// up to a second ago; gives how many were served. One that fails is an error.
async fn new_connections(installation: Arc<Installation>, end: Instant) -> Result<usize> {
    let mut served = 0;
    while Instant::now() < end {
        let bundle = installation.bundles(MUTATING).await?.concat();
        let known = Instant::now();
        while known.elapsed() < Duration::from_secs(1) {
            for replica in &installation.replicas {
                let context = || format!("port {} after {served} connections", replica.port);
                review(replica.port, &bundle).await.with_context(context)?;
                served += 1;
            }
        }
    }
    Ok(served)
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
