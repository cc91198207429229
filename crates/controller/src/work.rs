//! What this process does while it leads, and how that ends: nothing new is begun, and what is
//! under way is waited for.

use std::sync::Arc;
use std::time::Duration;

use lws_controller::act::Unanswered;
use lws_controller::certificates::Keeper;
use lws_controller::reconcile::Reconciler;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Sets that are reconciled at once.
const WORKERS: usize = 8;
/// How long requests are waited for that are under way at the end, and how long one counts as under
/// way that was given up. With the rest of the end it stays below the 10 s that the existing
/// implementation's Deployment gives.
const FINISH: Duration = Duration::from_secs(5);
/// How long it then takes at most until the last events are told.
const TELL: Duration = Duration::from_secs(1);

/// Everything that writes.
pub(crate) struct Work {
    stop: CancellationToken,
    parts: JoinSet<()>,
    unanswered: Unanswered,
    /// The task that tells events, until nobody has any to tell.
    telling: JoinHandle<()>,
}

impl Work {
    /// Nothing yet but to tell events. No request is begun once `stop` is cancelled.
    pub(crate) fn new(
        stop: CancellationToken,
        unanswered: Unanswered,
        telling: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { stop, parts: JoinSet::new(), unanswered, telling: tokio::spawn(telling) }
    }

    /// Keeps the certificate in order, whether caches are complete or not: without the webhook
    /// nobody can create or change a set.
    pub(crate) fn keep(&mut self, keeper: Option<Keeper>) {
        if let Some(keeper) = keeper {
            self.parts.spawn(keeper.until(self.stop.clone()).run());
        }
    }

    /// Reconciles sets once `begun`.
    pub(crate) fn reconcile(
        &mut self,
        reconciler: Reconciler,
        begun: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.parts.spawn(async move {
            if stop.run_until_cancelled(begun).await.is_some() {
                Arc::new(reconciler).run(WORKERS, stop).await;
            }
        });
    }

    /// Completes when a part has ended that should not have.
    pub(crate) async fn ended(&mut self) -> Option<Result<(), JoinError>> {
        self.parts.join_next().await
    }

    /// Ends everything; gives whether no write is under way any more. One that was given up lately
    /// may be.
    pub(crate) async fn finish(mut self) -> bool {
        self.stop.cancel();
        let finished = async { while self.parts.join_next().await.is_some() {} };
        if timeout(FINISH, finished).await.is_err() || self.unanswered.within(FINISH) {
            tracing::warn!("a write was not answered, the lease is left to run out");
            return false;
        }
        if timeout(TELL, &mut self.telling).await.is_err() {
            tracing::warn!("events were still to be told at the end");
            self.telling.abort();
        }
        true
    }
}
