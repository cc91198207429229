//! Who may use an endpoint, as the API server says: whose token a request carries, and whether that
//! user may do what the request asks for.
//!
//! | module | owns |
//! |---|---|
//! | `judge` | the two questions, and what the answers come to |
//! | `answers` | each question is asked once, and its answer kept for a while |
//! | `kept` | a bounded number of answers, each until its time |
//! | `reviews` | asking the API server |
//! | `complaints` | how often a failure is logged |

mod answers;
mod complaints;
mod judge;
mod kept;
mod reviews;

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use http::request::Parts;
use k8s_openapi::api::authentication::v1::UserInfo;
use tokio::time::Instant;
use tracing::error;

use self::{
    answers::Answers,
    complaints::Complaints,
    judge::{Question, Refusal},
    kept::key,
    reviews::{Reviews, Unanswered},
};
use crate::client::LazyClient;

pub use self::reviews::AT_ONCE;

/// Answers that are kept of either kind. Scrapers are few: more than these only make it ask again.
const KEPT: usize = 128;

/// Decides who may use an endpoint.
#[derive(Debug)]
pub struct Access {
    reviews: Reviews,
    users: Answers<Option<UserInfo>>,
    permissions: Answers<bool>,
    complaints: Mutex<Complaints>,
}

impl Access {
    /// Asks the API server through `client`. Nothing is asked, and no connection made, before the
    /// first request with a token.
    #[must_use]
    pub fn new(client: LazyClient) -> Self {
        Self {
            reviews: Reviews::new(client),
            users: Answers::new(KEPT),
            permissions: Answers::new(KEPT),
            complaints: Mutex::default(),
        }
    }

    /// `router`, whose routes are for those who may use them.
    pub fn protect(self, router: Router) -> Router {
        let access = Arc::new(self);
        router.route_layer(from_fn(move |request: Request, next: Next| {
            let access = Arc::clone(&access);
            async move { access.pass(request, next).await }
        }))
    }

    async fn pass(&self, request: Request, next: Next) -> Response {
        let (parts, body) = request.into_parts();
        match self.check(&parts).await {
            Ok(()) => next.run(Request::from_parts(parts, body)).await,
            Err(refusal) => refusal.into_response(),
        }
    }

    async fn check(&self, parts: &Parts) -> Result<(), Refusal> {
        let token = judge::token(&parts.headers).ok_or(Refusal::Unknown)?;
        let ask =
            Box::pin(async { self.reviews.user(token).await.inspect_err(|it| self.complain(it)) });
        let known = self.users.get(key(token.as_bytes()), ask).await;
        let user = known.map_err(|_| Refusal::Unanswered(Question::User))?;
        let user = user.ok_or(Refusal::Unknown)?;
        let name = user.username.clone().unwrap_or_default();
        let access = judge::access(user, &parts.method, parts.uri.path());
        let failed = Refusal::Unanswered(Question::Access);
        let question = serde_json::to_vec(&access).map_err(|_| failed.clone())?;
        let ask = Box::pin(async {
            self.reviews.access(access).await.inspect_err(|it| self.complain(it))
        });
        let permitted = self.permissions.get(key(&question), ask).await;
        match permitted {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::Forbidden { user: name }),
            Err(_) => Err(failed),
        }
    }

    /// Whoever asks gets no reason, which may tell of the inside of the cluster.
    fn complain(&self, problem: &Unanswered) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = complaints.due(Instant::now()) {
            let problem = problem.to_string();
            error!(problem, more, "Metrics: who asks cannot be reviewed");
        }
    }
}

#[cfg(test)]
mod tests;
