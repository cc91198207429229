//! What a request asks of the API server, and what its answers come to. Nothing is asked here.

use std::{fmt, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};

/// How long it is believed whose token one is.
const KNOWN: Duration = Duration::from_mins(1);
/// How long it is believed that somebody may do something.
const PERMITTED: Duration = Duration::from_mins(5);
/// And that somebody may not.
const DENIED: Duration = Duration::from_secs(30);

/// What the API server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whose token this is.
    User,
    /// Whether that user may do this.
    Access,
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It carries no token, or one that is nobody's.
    Unknown,
    /// The user may not do this.
    Forbidden {
        /// The user's name.
        user: String,
    },
    /// The API server has not said.
    Unanswered(Question),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown => {
                let scheme = [(header::WWW_AUTHENTICATE, "Bearer")];
                (StatusCode::UNAUTHORIZED, scheme, "Unauthorized\n").into_response()
            }
            Self::Forbidden { user } => {
                let text = format!("Authorization denied for user {user}\n");
                (StatusCode::FORBIDDEN, text).into_response()
            }
            Self::Unanswered(question) => {
                let what = match question {
                    Question::User => "whose token this is",
                    Question::Access => "whether you may do this",
                };
                let text = format!(
                    "The API server has not said {what}. The log of this process says why.\n"
                );
                (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
            }
        }
    }
}

/// The bearer token of a request.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The question whose token `token` is.
pub(super) fn identity(token: &str) -> TokenReview {
    TokenReview {
        spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
        ..TokenReview::default()
    }
}

/// Whose token it is; `None` if it is nobody's, for which an answer gives a reason as an error.
pub(super) fn user(answer: TokenReview) -> Option<UserInfo> {
    let status = answer.status?;
    status.user.filter(|user| {
        status.authenticated == Some(true)
            && user.username.as_ref().is_some_and(|it| !it.is_empty())
    })
}

/// The question whether `user` may do `method` with `path`.
pub(super) fn access(user: UserInfo, method: &Method, path: &str) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        non_resource_attributes: Some(NonResourceAttributes {
            path: Some(path.to_owned()),
            verb: Some(method.as_str().to_ascii_lowercase()),
        }),
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        resource_attributes: None,
    }
}

/// Whether it is permitted. No opinion is a denial.
pub(super) fn permitted(answer: SubjectAccessReview) -> bool {
    answer.status.is_some_and(|status| status.allowed && status.denied != Some(true))
}

/// An answer of the API server.
pub(super) trait Answer: Clone + fmt::Debug {
    /// How long it is believed; no time at all means that it is not kept.
    fn lasts(&self) -> Duration;
}

/// Whose token it is. One that is nobody's may be somebody's in a moment.
impl Answer for Option<UserInfo> {
    fn lasts(&self) -> Duration {
        if self.is_some() { KNOWN } else { Duration::ZERO }
    }
}

/// Whether it is permitted.
impl Answer for bool {
    fn lasts(&self) -> Duration {
        if *self { PERMITTED } else { DENIED }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::body::to_bytes;
    use http::HeaderValue;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn tokens_are_found() {
        for (header, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            (" Bearer  a b ", Some("a b")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic YTpi", None),
            ("abc", None),
            ("", None),
        ] {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(header))]);
            assert_eq!(token(&headers), expected, "{header:?}");
        }
        assert_eq!(token(&HeaderMap::new()), None);
        let bytes = HeaderValue::from_bytes(b"Bearer \xff").unwrap();
        assert_eq!(token(&HeaderMap::from_iter([(header::AUTHORIZATION, bytes)])), None);
    }

    #[test]
    fn only_an_authenticated_user_with_a_name_is_somebody() {
        let name = json!({"username": "u"});
        for (status, expected) in [
            (json!({"authenticated": true, "user": name}), Some("u")),
            (json!({"authenticated": false, "user": name}), None),
            (json!({"user": name}), None),
            (json!({"authenticated": true}), None),
            (json!({"authenticated": true, "user": {"username": ""}}), None),
            (json!({"error": "[invalid bearer token, expired]"}), None),
            (Value::Null, None),
        ] {
            let answer = json!({"spec": {}, "status": status});
            let found = user(serde_json::from_value(answer).unwrap());
            assert_eq!(found.and_then(|it| it.username).as_deref(), expected, "{status}");
        }
    }

    #[test]
    fn only_what_is_allowed_is_permitted() {
        for (status, expected) in [
            (json!({"allowed": true}), true),
            (json!({"allowed": true, "denied": true}), false),
            (json!({"allowed": false}), false),
            (json!({"allowed": false, "evaluationError": "e"}), false),
            (Value::Null, false),
        ] {
            let answer = json!({"spec": {}, "status": status});
            assert_eq!(permitted(serde_json::from_value(answer).unwrap()), expected, "{status}");
        }
    }

    #[test]
    fn all_that_is_known_of_the_user_is_passed_on() {
        let user = UserInfo {
            username: Some("u".to_owned()),
            uid: Some("1".to_owned()),
            groups: Some(vec!["g".to_owned()]),
            extra: Some(BTreeMap::from([("k".to_owned(), vec!["v".to_owned()])])),
        };
        let expected = json!({
            "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
            "user": "u",
            "uid": "1",
            "groups": ["g"],
            "extra": {"k": ["v"]},
        });
        let question = access(user, &Method::GET, "/metrics");
        assert_eq!(serde_json::to_value(question).unwrap(), expected);
    }

    #[test]
    fn answers_last_as_long_as_they_should() {
        assert_eq!(Some(UserInfo::default()).lasts(), Duration::from_mins(1));
        assert_eq!(None::<UserInfo>.lasts(), Duration::ZERO);
        assert_eq!(true.lasts(), Duration::from_mins(5));
        assert_eq!(false.lasts(), Duration::from_secs(30));
    }

    #[tokio::test]
    async fn refusals_say_what_is_wrong() {
        let why = "The log of this process says why.\n";
        for (refusal, code, expected) in [
            (Refusal::Unknown, 401, "Unauthorized\n".to_owned()),
            (
                Refusal::Forbidden { user: "system:serviceaccount:a:b".to_owned() },
                403,
                "Authorization denied for user system:serviceaccount:a:b\n".to_owned(),
            ),
            (
                Refusal::Unanswered(Question::User),
                500,
                format!("The API server has not said whose token this is. {why}"),
            ),
            (
                Refusal::Unanswered(Question::Access),
                500,
                format!("The API server has not said whether you may do this. {why}"),
            ),
        ] {
            let answer = refusal.into_response();
            assert_eq!(answer.status().as_u16(), code, "{expected}");
            let body = to_bytes(answer.into_body(), 1024).await.unwrap();
            assert_eq!(body, expected);
        }
    }
}
