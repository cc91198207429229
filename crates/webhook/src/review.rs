//! The admission protocol: what a request asks, and how an answer is written.
//!
//! Every answer is an `AdmissionReview`; the API server reads allowed or not from it, never from
//! the HTTP status.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::body::BODY_LIMIT;
use crate::json::{DecodeError, Text, decode, object};
use crate::memory::SMALL;
use crate::patch::Patch;
use crate::weight::weight;

/// What a refusal says at most, in bytes: it may quote what was sent.
const MESSAGE_LIMIT: usize = 32 * 1024;

/// What the decoded values of one object may take, in bytes: enough for any that etcd stores, were
/// it made of environment variables of 34 bytes. The process holds three at most: an update, the
/// object before it, and a copy.
const WEIGHT_LIMIT: usize = 48 * 1024 * 1024;

/// Room for an answer besides its patch, in bytes.
const ENVELOPE: usize = 512;

const KIND: &str = "AdmissionReview";

/// The version in which a review was sent, and is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) enum Version {
    #[default]
    #[serde(rename = "admission.k8s.io/v1")]
    V1,
    #[serde(rename = "admission.k8s.io/v1beta1")]
    V1Beta1,
}

/// What is being done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    Create,
    Update,
    Delete,
    Connect,
    Unknown(&'a str),
}

impl Operation<'_> {
    /// The value of metric label `operation`: one of five, whatever was sent.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Unknown(_) => "unknown",
        }
    }
}

object! {
    struct Review<'a> {
        api_version: Text<'a> = "apiVersion",
        kind: Text<'a> = "kind",
        request: Option<Request<'a>> = "request",
    }
}

object! {
    /// A request for admission. The objects stay undecoded: not every decision looks at them.
    pub(crate) struct Request<'a> {
        pub(crate) uid: Text<'a> = "uid",
        pub(crate) namespace: Text<'a> = "namespace",
        pub(crate) name: Text<'a> = "name",
        operation: Text<'a> = "operation",
        object: Option<&'a RawValue> = "object",
        old_object: Option<&'a RawValue> = "oldObject",
    }
}

object! {
    /// What says whether deletion has begun.
    struct Deletable<'a> {
        metadata: Deletion<'a> = "metadata",
    }
}

object! {
    struct Deletion<'a> {
        timestamp: Option<&'a RawValue> = "deletionTimestamp",
    }
}

/// Decodes the body of an admission request.
pub(crate) fn parse(body: &[u8]) -> Result<(Version, Request<'_>), Refusal> {
    let review: Review<'_> = decode(body)?;
    let (api_version, kind) = (&*review.api_version, &*review.kind);
    let version = match (api_version, kind) {
        ("admission.k8s.io/v1", KIND) | ("", "" | KIND) => Version::V1,
        ("admission.k8s.io/v1beta1", KIND) => Version::V1Beta1,
        _ => {
            return Err(Refusal::bad_request(format!(
                "no kind {kind:?} is registered for version {api_version:?}"
            )));
        }
    };
    let request =
        review.request.ok_or_else(|| Refusal::bad_request("the review has no request"))?;
    Ok((version, request))
}

impl<'a> Request<'a> {
    pub(crate) fn operation(&self) -> Operation<'_> {
        match &*self.operation {
            "CREATE" => Operation::Create,
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            "CONNECT" => Operation::Connect,
            unknown => Operation::Unknown(unknown),
        }
    }

    /// Whether this is the update of an object whose deletion has begun.
    pub(crate) fn is_of_deletion(&self) -> bool {
        self.operation() == Operation::Update
            && self.object().is_ok_and(|it: Deletable<'_>| it.metadata.timestamp.is_some())
    }

    /// Refuses an object that would take too much memory once it is decoded. Each has the limit for
    /// itself, so that what could be created can be updated.
    pub(crate) fn check_weight(&self) -> Result<(), Refusal> {
        for object in [self.object, self.old_object].into_iter().flatten() {
            let json = object.get().as_bytes();
            // Small ones cannot become large enough.
            let weight = if json.len() <= SMALL { 0 } else { weight(json) };
            if weight > WEIGHT_LIMIT {
                return Err(Refusal::too_complex(weight));
            }
        }
        Ok(())
    }

    /// Decodes the object as it is to be.
    pub(crate) fn object<T: Deserialize<'a>>(&self) -> Result<T, Refusal> {
        decode_object("object", self.object)
    }

    /// Decodes the object as it was before an update.
    pub(crate) fn old_object<T: Deserialize<'a>>(&self) -> Result<T, Refusal> {
        decode_object("oldObject", self.old_object)
    }
}

fn decode_object<'a, T: Deserialize<'a>>(
    field: &str,
    object: Option<&'a RawValue>,
) -> Result<T, Refusal> {
    let object = object.ok_or_else(|| Refusal::bad_request("there is no content to decode"))?.get();
    let is = match object.as_bytes().first() {
        Some(b'{') => return Ok(decode(object.as_bytes())?),
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    };
    Err(Refusal::bad_request(format!("request.{field}: expected a JSON object, got {is}")))
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status that the API server reports to its client.
    pub(crate) code: u16,
    /// What the client reads.
    pub(crate) message: String,
    /// Names of the rules that the object breaks, each once; empty when none is the reason.
    pub(crate) rules: Vec<&'static str>,
}

impl Refusal {
    /// The object may not be as it is, by these rules.
    pub(crate) fn forbidden(
        message: String,
        rules: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let mut distinct = Vec::new();
        for rule in rules {
            if !distinct.contains(&rule) {
                distinct.push(rule);
            }
        }
        Self { rules: distinct, ..Self::new(403, message) }
    }

    /// The request cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// There is nothing to understand.
    pub(crate) fn no_body() -> Self {
        Self::bad_request("request body is empty")
    }

    /// The request is larger than [`BODY_LIMIT`].
    pub(crate) fn too_large() -> Self {
        let message = format!("request entity is too large; limit is {BODY_LIMIT} bytes");
        Self::new(413, message)
    }

    /// An object has more values than [`WEIGHT_LIMIT`] permits.
    pub(crate) fn too_complex(weight: usize) -> Self {
        Self::new(
            413,
            format!(
                "the object would take about {weight} bytes of memory, at most {WEIGHT_LIMIT} are \
                 given to one: use fewer list items and fields"
            ),
        )
    }

    /// Other requests take all the memory that there is for them.
    pub(crate) fn unavailable() -> Self {
        Self::new(503, "too many large requests at once: try again")
    }

    /// Other requests need the memory that this one has kept for long.
    pub(crate) fn called_back() -> Self {
        Self::new(
            503,
            "the request took too long to arrive, or to get memory for its answer, while others \
             needed what it had: try again",
        )
    }

    /// Whether there is no memory for the request at the time.
    pub(crate) fn is_shortage(&self) -> bool {
        self.code == 503
    }

    /// The API server had stopped waiting before the request was complete.
    pub(crate) fn too_late(waited: Duration) -> Self {
        let message = format!("the request body did not arrive within {} s", waited.as_secs());
        Self::new(504, message)
    }

    /// The request could not be judged.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, message)
    }

    fn new(code: u16, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_LIMIT {
            message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
            message.push('…');
            message.shrink_to_fit();
        }
        Self { code, message, rules: Vec::new() }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// Consent to a request.
#[derive(Debug, Default)]
pub(crate) struct Consent {
    /// Changes to make first.
    pub(crate) patch: Patch,
    /// What the API server tells its client.
    pub(crate) warnings: Vec<String>,
}

/// What is answered to a request.
pub(crate) type Answer = Result<Consent, Refusal>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReviewAnswer<'a> {
    kind: &'static str,
    api_version: Version,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    status: Status<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<&'a Patch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Status<'a> {
    metadata: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    code: u16,
}

/// `{}`.
#[derive(Serialize)]
struct Empty {}

/// Writes `answer` to the request with this `uid` (empty when none could be read).
pub(crate) fn render(
    version: Version,
    uid: &str,
    answer: &Answer,
) -> Result<Vec<u8>, serde_json::Error> {
    let response = match answer {
        Ok(Consent { patch, warnings }) => Response {
            uid,
            allowed: true,
            status: Status { metadata: Empty {}, message: None, reason: None, code: 200 },
            patch: (!patch.is_empty()).then_some(patch),
            patch_type: (!patch.is_empty()).then_some("JSONPatch"),
            warnings,
        },
        Err(Refusal { code, message, .. }) => Response {
            uid,
            allowed: false,
            status: Status {
                metadata: Empty {},
                message: Some(message),
                reason: (*code == 403).then_some("Forbidden"),
                code: *code,
            },
            patch: None,
            patch_type: None,
            warnings: &[],
        },
    };
    let answer = ReviewAnswer { kind: KIND, api_version: version, response };
    let patch = answer.response.patch.map_or(0, Patch::encoded_len);
    let mut json = Vec::with_capacity(ENVELOPE + patch);
    serde_json::to_writer(&mut json, &answer)?;
    Ok(json)
}
