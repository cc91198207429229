//! The loop: watches the three objects and writes what the plan wants.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures::stream::{SelectAll, select_all};
use futures::{FutureExt as _, Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use lws_certs::bundle::Bundle;
use lws_certs::issue::IssueError;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::plan::{self, Change, Moment, Plan};
use super::seen::Seen;
use super::stored::Stored;
use super::watched::Watched;
use super::{Metrics, Settings, configuration};
use crate::act::{Limiter, server_message};
use crate::backoff::Backoff;
use crate::lease::Leadership;

const MUTATING: &str = "lws-mutating-webhook-configuration";
const VALIDATING: &str = "lws-validating-webhook-configuration";

/// The longest a write may take.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Pauses after failures: another program or a person has to act first.
const RETRY: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_mins(5) };

/// Two writers that disagree cost no more than this many writes at once, and then one in 10 s, or
/// as many as the schedule may want: the Secret and both configurations, twice in a rotation.
const BURST: u32 = 20;
const WRITES_PER_SECOND: f64 = 0.1;
const WRITES_PER_ROTATION: f64 = 6.0;

/// Keeps the certificates of the webhook in order while this process leads.
pub struct Keeper {
    settings: Settings,
    leadership: watch::Receiver<Leadership>,
    limiter: Limiter,
    metrics: Metrics,
    secret: Watched,
    configurations: [Watched; 2],
    seen: Seen,
    problems: Problems,
    stop: CancellationToken,
}

type Event = (usize, watcher::Result<Option<DynamicObject>>);
type Events = SelectAll<Pin<Box<dyn Stream<Item = Event> + Send>>>;

/// Why certificates are not in order.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("write {title}: {}", server_message(.source))]
    Write { title: String, source: kube::Error },
    #[error("write {title}: no answer in time")]
    TimedOut { title: String },
    #[error("issue a certificate: {0}")]
    Issue(#[from] IssueError),
    #[error("issue a certificate: the task failed")]
    Task(#[from] tokio::task::JoinError),
    #[error("this process does not lead any more")]
    NotLeading,
}

impl Error {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Write { source: kube::Error::Api(status), .. } if status.code == 409)
    }
}

impl Keeper {
    /// Keeps the objects that `settings` name. Nothing is read or written before
    /// [`run`](Self::run).
    #[must_use]
    pub fn new(
        client: &Client,
        leadership: watch::Receiver<Leadership>,
        settings: Settings,
        metrics: Metrics,
    ) -> Self {
        let secret = Watched::secret(client, &settings.namespace, &settings.secret);
        let configurations = [
            Watched::cluster_wide::<MutatingWebhookConfiguration>(client, MUTATING),
            Watched::cluster_wide::<ValidatingWebhookConfiguration>(client, VALIDATING),
        ];
        let rotation = settings.schedule.propagation + settings.schedule.retirement;
        let rate = (WRITES_PER_ROTATION / rotation.as_secs_f64()).max(WRITES_PER_SECOND);
        Self {
            settings,
            leadership,
            limiter: Limiter::new(rate, BURST),
            metrics,
            secret,
            configurations,
            seen: Seen::default(),
            problems: Problems::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Has [`run`](Self::run) end once `stop` is cancelled: a write that is under way then is
    /// waited for, and none is begun.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Waits until this process leads, then keeps everything in order until it is stopped. Ends if
    /// the election ends before.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        let leads = stop.run_until_cancelled(self.leadership.wait_for(Leadership::is_valid));
        if !matches!(leads.await, Some(Ok(_))) {
            return;
        }
        let mut events = self.events();
        let mut failures = 0;
        loop {
            let wait = match self.step().await {
                Ok(wait) => {
                    failures = 0;
                    wait
                }
                Err(error) => {
                    failures += 1;
                    self.failed(&error);
                    RETRY.delay(failures)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Some(event) = events.next() => self.take(event),
                () = sleep(wait) => {}
            }
            // What happens at once is looked at as a whole.
            while let Some(Some(event)) = events.next().now_or_never() {
                self.take(event);
            }
        }
    }

    /// Changes of the three objects, with their place in [`Self::watched`].
    fn events(&self) -> Events {
        let watched = [&self.secret].into_iter().chain(&self.configurations).enumerate();
        select_all(
            watched
                .map(|(place, watched)| watched.events().map(move |event| (place, event)).boxed()),
        )
    }

    fn watched(&mut self, place: usize) -> Option<&mut Watched> {
        [&mut self.secret].into_iter().chain(&mut self.configurations).nth(place)
    }

    fn take(&mut self, (place, event): Event) {
        let Some(watched) = self.watched(place) else { return };
        match event {
            Ok(object) => watched.observed(object),
            Err(error) => {
                let text = format!(
                    "cannot watch {}: {error}; list and watch have to be granted",
                    watched.title()
                );
                self.problems.tell(text);
            }
        }
    }

    /// Brings everything in order as far as that can be done now; gives when to look again.
    async fn step(&mut self) -> Result<Duration, Error> {
        self.problems.begin();
        loop {
            let Some(secret) = self.known_secret() else { return Ok(Duration::MAX) };
            let now = Moment::now();
            let stored = Stored::of(&secret);
            let entries = self.entries();
            self.metrics.stored(&stored);
            self.seen.note(&stored, &entries, now.steady);
            let plan = plan::plan(&stored, &entries, &self.seen, &self.settings, now);
            // Trust comes first; what fails here does not keep the certificate from being renewed.
            let trust = self.write_bundles(&plan, now.wall).await;
            if let Some((change, reason)) = &plan.change {
                self.write_secret(&secret, stored, *change, reason).await?;
            }
            if plan.change.is_none() && !trust? {
                return Ok(plan.look_again);
            }
        }
    }

    /// The Secret, once everything is known. What does not exist is told.
    fn known_secret(&mut self) -> Option<DynamicObject> {
        if !self.configurations.iter().all(Watched::is_known) || !self.secret.is_known() {
            return None;
        }
        for absent in self.configurations.iter().filter(|it| it.present().is_none()) {
            let title = absent.title();
            self.problems.tell(format!("{title} does not exist: the webhook is not called"));
        }
        let secret = self.secret.present().cloned();
        if secret.is_none() {
            let Settings { namespace, secret, .. } = &self.settings;
            self.problems.tell(format!(
                "{} does not exist, so the webhook gets no certificate: create it empty, with \
                 `kubectl create secret generic {secret} --namespace {namespace}`",
                self.secret.title()
            ));
            self.metrics.stored(&Stored::default());
        }
        secret
    }

    /// The bundles of all entries that lead to our Service.
    fn entries(&self) -> Vec<Bundle> {
        let writable = self.configurations.iter().filter_map(writable);
        writable.flat_map(|it| configuration::bundles(it, &self.settings)).collect()
    }

    /// Makes every entry trust whom the plan wants; gives whether anything had to be changed.
    async fn write_bundles(&mut self, plan: &Plan, now: Timestamp) -> Result<bool, Error> {
        let mut changed = false;
        let mut outcome = Ok(());
        for place in 0..self.configurations.len() {
            let Some(watched) = self.configurations.get(place) else { continue };
            if let Some(annotation) = watched.present().and_then(configuration::injected_by) {
                self.problems.tell(format!(
                    "{} is left alone because of its annotation {annotation}: remove that, or set \
                     internalCertManagement.enable to false",
                    watched.title()
                ));
            }
            let wanted = |present: &Bundle| plan.bundle(present, now);
            let Some(desired) = writable(watched)
                .and_then(|it| configuration::with_bundles(it, &self.settings, wanted))
            else {
                continue;
            };
            match self.write(watched, desired).await {
                Ok(written) => {
                    info!(object = watched.title(), "trust in authorities written");
                    if let Some(watched) = self.configurations.get_mut(place) {
                        watched.written(written);
                    }
                    changed = true;
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome.map(|()| changed)
    }

    async fn write_secret(
        &mut self,
        secret: &DynamicObject,
        stored: Stored,
        change: Change,
        reason: &str,
    ) -> Result<(), Error> {
        let settings = self.settings.clone();
        // Keys take a tenth of a second of pure computing.
        let issue = move || plan::carry_out(change, stored, &settings, Timestamp::now());
        let stored = tokio::task::spawn_blocking(issue).await??;
        let written = self.write(&self.secret, stored.put_into(secret)).await?;
        info!(object = self.secret.title(), ?change, reason, "certificates written");
        self.secret.written(written);
        Ok(())
    }

    /// Replaces an object, unless it has changed since it was seen.
    async fn write(
        &self,
        watched: &Watched,
        object: DynamicObject,
    ) -> Result<DynamicObject, Error> {
        let turn = self.stop.run_until_cancelled(self.limiter.turn()).await;
        let deadline = self.leadership.borrow().deadline(TIME_LIMIT);
        let Some(deadline) = deadline.filter(|_| turn.is_some()) else {
            return Err(Error::NotLeading);
        };
        let title = || watched.title().to_owned();
        match tokio::time::timeout_at(deadline, watched.replace(object)).await {
            Ok(answer) => answer.map_err(|source| Error::Write { title: title(), source }),
            Err(_) => Err(Error::TimedOut { title: title() }),
        }
    }

    fn failed(&mut self, error: &Error) {
        if error.is_conflict() {
            debug!(%error, "certificates: will look again");
        } else {
            self.metrics.failed();
            self.problems.tell(format!("{error}; will try again"));
        }
    }
}

/// The object, if its bundles are ours to write.
fn writable(watched: &Watched) -> Option<&DynamicObject> {
    watched.present().filter(|it| configuration::injected_by(it).is_none())
}

/// What is wrong, so that it is told once for as long as it lasts.
#[derive(Default)]
struct Problems {
    now: BTreeSet<String>,
    before: BTreeSet<String>,
}

impl Problems {
    fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    fn tell(&mut self, text: String) {
        if !self.before.contains(&text) && !self.now.contains(&text) {
            error!("certificates: {text}");
        }
        self.now.insert(text);
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keeper").field("settings", &self.settings).finish_non_exhaustive()
    }
}
