//! Sets: defaults, rules, and what is told about them.

mod creation;
mod defaults;
mod malformed;
mod updating;
mod warnings;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::json::{Change, with};
use crate::requests::Answer;
use crate::world::World;

/// The namespace of all sets; every case has a set of its own.
pub(crate) const NAMESPACE: &str = "sets";

const NAME: &str = "/metadata/name";
const ANNOTATIONS: &str = "/metadata/annotations";
const REPLICAS: &str = "/spec/replicas";
const STARTUP_POLICY: &str = "/spec/startupPolicy";
const NETWORK: &str = "/spec/networkConfig";
const STRATEGY: &str = "/spec/rolloutStrategy";
const STRATEGY_TYPE: &str = "/spec/rolloutStrategy/type";
const ROLLING_UPDATE: &str = "/spec/rolloutStrategy/rollingUpdateConfiguration";
const PARTITION: &str = "/spec/rolloutStrategy/rollingUpdateConfiguration/partition";
const MAX_UNAVAILABLE: &str = "/spec/rolloutStrategy/rollingUpdateConfiguration/maxUnavailable";
const MAX_SURGE: &str = "/spec/rolloutStrategy/rollingUpdateConfiguration/maxSurge";
const SIZE: &str = "/spec/leaderWorkerTemplate/size";
const RESTART_POLICY: &str = "/spec/leaderWorkerTemplate/restartPolicy";
const SUB_GROUP: &str = "/spec/leaderWorkerTemplate/subGroupPolicy";
const LEADER: &str = "/spec/leaderWorkerTemplate/leaderTemplate";
const WORKER: &str = "/spec/leaderWorkerTemplate/workerTemplate";
const CLAIMS: &str = "/spec/leaderWorkerTemplate/volumeClaimTemplates";

/// Makes [`crate::json::with`] remove the field.
const ABSENT: Value = Value::Null;

/// What becomes of a set.
#[derive(Debug, Clone)]
enum Outcome {
    /// It is stored as it was sent.
    Stored,
    /// The same, with this warning.
    Warned(&'static str),
    /// The schema refuses it, and the message holds this.
    Invalid(&'static str),
    /// The webhook refuses it with this.
    Denied(String),
}

fn denied(text: impl Into<String>) -> Outcome {
    Outcome::Denied(text.into())
}

impl Outcome {
    /// Whether `answer` to the request for `set` is this one.
    fn check(&self, answer: &Answer, set: &Value) -> Result<()> {
        match self {
            Self::Stored => {
                ensure_spec(answer, set)?;
                ensure!(answer.warnings.is_empty(), "warnings: {:?}", answer.warnings);
            }
            Self::Warned(warning) => {
                ensure_spec(answer, set)?;
                ensure!(answer.warnings == [*warning], "warnings: {:?}", answer.warnings);
            }
            Self::Invalid(text) => {
                let message = answer.message()?;
                ensure!(answer.code.as_u16() == 422, "{}: {message}", answer.code);
                ensure!(message.contains(text), "{message:?} does not contain {text:?}");
            }
            Self::Denied(text) => {
                let message = answer.message()?;
                ensure!(answer.code.as_u16() == 403, "{}: {message}", answer.code);
                let expected = format!(
                    "admission webhook \"vleaderworkerset.kb.io\" denied the request: {text}"
                );
                ensure!(message == expected, "message: {message}\nexpected: {expected}");
            }
        }
        Ok(())
    }
}

/// Whether the set was stored with the spec of `set`.
fn ensure_spec(answer: &Answer, set: &Value) -> Result<()> {
    let stored = answer.object()?;
    let spec = |of: &Value| of.get("spec").cloned().context("an object without spec");
    crate::json::ensure_equal(&spec(&stored)?, &spec(set)?)
}

/// The set that all cases start from, under the name of `case`, with `changes`.
fn set(case: &str, changes: &[Change]) -> Result<Value> {
    let set = json!({
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name(case)},
        "spec": {
            "replicas": 2,
            "leaderWorkerTemplate": {
                "size": 2,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": {"spec": {"containers": [{
                    "name": "leader",
                    "image": "docker.io/nginxinc/nginx-unprivileged:1.27",
                }]}},
                "workerTemplate": {"spec": {"containers": [{
                    "name": "worker",
                    "image": "docker.io/nginxinc/nginx-unprivileged:1.27",
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                }]}},
            },
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {"partition": 0, "maxUnavailable": 1, "maxSurge": 0},
            },
            "startupPolicy": "LeaderCreated",
            "networkConfig": {"subdomainPolicy": "Shared"},
        },
    });
    with(set, changes)
}

/// A set of one worker template, everything else unset.
pub(crate) fn basic_set(name: &str) -> Value {
    json!({
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name},
        "spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {"containers": [{
            "name": "worker",
            "image": "docker.io/nginxinc/nginx-unprivileged:1.27",
        }]}}}},
    })
}

/// The first word of `case` as a name that does not end in `-<number>`, which would be warned of.
fn name(case: &str) -> String {
    case.split(' ').next().unwrap_or(case).to_lowercase().replace('-', "")
}

/// Creates the set of a case and says whether that ended as expected.
async fn create(world: &World, set: &Value, expected: &Outcome) -> Result<()> {
    expected.check(&world.sets(NAMESPACE).create(set).await?, set)
}
