//! Asking the API server: one attempt, within a time, and not much at once.

use std::{error::Error, fmt, iter, sync::Arc, time::Duration};

use k8s_openapi::api::{
    authentication::v1::UserInfo,
    authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, Resource, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::Semaphore, time::timeout};

use super::judge;
use crate::client::{self, LazyClient};

/// Reviews that are under way at once: whoever sends tokens without end does not make this process
/// ask without end.
pub const AT_ONCE: usize = 4;

/// How long an answer is waited for.
const TIME: Duration = Duration::from_secs(10);

/// Bytes of a reason that are logged.
const LOGGED: usize = 256;

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// The API server cannot be reached with what this process knows.
    #[error("no client for {what}: {}", reason(.source.as_ref()))]
    Client {
        /// The kind of the review.
        what: &'static str,
        /// Why.
        source: Arc<client::Error>,
    },
    /// The request has failed.
    #[error("create {what}: {}", reason(.source.as_ref()))]
    Request {
        /// The kind of the review.
        what: &'static str,
        /// Why.
        source: Arc<kube::Error>,
    },
    /// There was no answer in time.
    #[error("create {what}: no answer within {TIME:?}")]
    TimedOut {
        /// The kind of the review.
        what: &'static str,
    },
}

/// An error with what it comes from, of which many errors say nothing themselves.
fn reason(error: &dyn Error) -> String {
    let mut text = String::new();
    for error in iter::successors(Some(error), |error| (*error).source()) {
        let next = error.to_string();
        if !text.contains(&next) {
            text = if text.is_empty() { next } else { format!("{text}: {next}") };
        }
    }
    text.truncate(text.floor_char_boundary(LOGGED));
    text
}

/// Asks the API server.
pub(super) struct Reviews {
    client: LazyClient,
    turns: Semaphore,
}

impl Reviews {
    pub(super) fn new(client: LazyClient) -> Self {
        Self { client, turns: Semaphore::new(AT_ONCE) }
    }

    /// Whose token it is; `None` if it is nobody's.
    pub(super) async fn user(&self, token: &str) -> Result<Option<UserInfo>, Unanswered> {
        self.create("TokenReview", judge::identity(token)).await.map(judge::user)
    }

    /// Whether a user may do something.
    pub(super) async fn access(&self, spec: SubjectAccessReviewSpec) -> Result<bool, Unanswered> {
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        self.create("SubjectAccessReview", review).await.map(judge::permitted)
    }

    async fn create<K>(&self, what: &'static str, review: K) -> Result<K, Unanswered>
    where
        K: Resource<DynamicType = ()> + Clone + fmt::Debug + Serialize + DeserializeOwned,
    {
        let answer = timeout(TIME, async {
            // It is never closed.
            let _turn = self.turns.acquire().await.ok();
            let client: Client = self
                .client
                .get()
                .await
                .map_err(|source| Unanswered::Client { what, source: Arc::new(source) })?;
            let created = Api::all(client).create(&PostParams::default(), &review).await;
            created.map_err(|source| Unanswered::Request { what, source: Arc::new(source) })
        });
        answer.await.unwrap_or(Err(Unanswered::TimedOut { what }))
    }
}

impl fmt::Debug for Reviews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reviews").finish_non_exhaustive()
    }
}
