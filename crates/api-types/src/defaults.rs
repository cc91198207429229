//! What the mutating webhook fills in: fields whose default the schema does not give, the old
//! spelling of a restart policy, and quantities in a form that the schema takes. Works on the JSON
//! the user sent, so that the patch holds these fields and nothing else.

mod quantities;

use serde_json::{Value, json};

pub use self::quantities::quantities;

const RECREATE_GROUP: &str = "RecreateGroupOnPodRestart";
const ROLLING_UPDATE: &str = "RollingUpdate";

/// One step of a JSON patch: `add`, which also replaces what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// JSON pointer of the field. Its parent exists once the earlier operations are applied.
    pub path: &'static str,
    /// The new value.
    pub value: Value,
}

/// The operations, in order, that give `object` its defaults; none when it has them all.
///
/// Never fails: a field of the wrong type is left as it is, for validation to reject.
#[must_use]
pub fn defaults(object: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    if object.is_object() {
        default_spec(member(object, "spec"), &mut |path, value| {
            operations.push(Operation { path, value });
        });
    }
    operations
}

/// Performs on `object` the operations that [`defaults`] gave for it.
pub fn apply(object: &mut Value, operations: Vec<Operation>) {
    for Operation { path, value } in operations {
        let Some((parent, field)) = path.rsplit_once('/') else { continue };
        if let Some(Value::Object(parent)) = object.pointer_mut(parent) {
            parent.insert(field.to_owned(), value);
        }
    }
}

/// Where the functions below report what is missing. An absent parent is added with all that it
/// must hold, in one operation.
type Add<'a> = dyn FnMut(&'static str, Value) + 'a;

fn default_spec(spec: &Value, add: &mut Add<'_>) {
    match spec {
        Value::Null => add(
            "/spec",
            json!({
                "leaderWorkerTemplate": {"restartPolicy": RECREATE_GROUP},
                "rolloutStrategy": rollout_strategy(),
                "networkConfig": {"subdomainPolicy": "Shared"},
            }),
        ),
        Value::Object(_) => {
            default_restart_policy(member(spec, "leaderWorkerTemplate"), add);
            default_rollout_strategy(member(spec, "rolloutStrategy"), add);
            default_network_config(member(spec, "networkConfig"), add);
        }
        _ => {}
    }
}

fn default_restart_policy(template: &Value, add: &mut Add<'_>) {
    const PATH: &str = "/spec/leaderWorkerTemplate/restartPolicy";
    match template {
        Value::Null => {
            add("/spec/leaderWorkerTemplate", json!({"restartPolicy": RECREATE_GROUP}));
        }
        Value::Object(_) => match member(template, "restartPolicy") {
            policy if is_empty(policy) => add(PATH, RECREATE_GROUP.into()),
            policy if policy == "Default" => add(PATH, "None".into()),
            _ => {}
        },
        _ => {}
    }
}

fn default_rollout_strategy(strategy: &Value, add: &mut Add<'_>) {
    match strategy {
        Value::Null => add("/spec/rolloutStrategy", rollout_strategy()),
        Value::Object(_) => {
            let strategy_type = member(strategy, "type");
            if is_empty(strategy_type) {
                add("/spec/rolloutStrategy/type", ROLLING_UPDATE.into());
            }
            let rolling = is_empty(strategy_type) || strategy_type == ROLLING_UPDATE;
            if rolling && member(strategy, "rollingUpdateConfiguration").is_null() {
                let path = "/spec/rolloutStrategy/rollingUpdateConfiguration";
                add(path, rolling_update_configuration());
            }
        }
        _ => {}
    }
}

fn default_network_config(config: &Value, add: &mut Add<'_>) {
    match config {
        Value::Null => add("/spec/networkConfig", json!({"subdomainPolicy": "Shared"})),
        Value::Object(_) if member(config, "subdomainPolicy").is_null() => {
            add("/spec/networkConfig/subdomainPolicy", "Shared".into());
        }
        _ => {}
    }
}

fn rollout_strategy() -> Value {
    json!({
        "type": ROLLING_UPDATE,
        "rollingUpdateConfiguration": rolling_update_configuration(),
    })
}

fn rolling_update_configuration() -> Value {
    json!({"partition": 0, "maxUnavailable": 1, "maxSurge": 0})
}

/// The member `key` of an object; null when there is none.
fn member<'a>(object: &'a Value, key: &str) -> &'a Value {
    object.get(key).unwrap_or(&Value::Null)
}

fn is_empty(text: &Value) -> bool {
    text.is_null() || text == ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(spec: &Value) -> Vec<(&'static str, Value)> {
        let object = json!({"spec": spec});
        defaults(&object).into_iter().map(|it| (it.path, it.value)).collect()
    }

    /// A spec that has every default, with the members of `changes` exchanged.
    fn complete_but(changes: &Value) -> Value {
        let mut spec = json!({
            "leaderWorkerTemplate": {"restartPolicy": "None", "workerTemplate": {}},
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {"maxUnavailable": 2},
            },
            "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
        });
        for (key, value) in changes.as_object().unwrap() {
            spec[key] = value.clone();
        }
        spec
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let configuration = json!({"partition": 0, "maxUnavailable": 1, "maxSurge": 0});
        let restart_policy = "/spec/leaderWorkerTemplate/restartPolicy";
        for (changes, expected) in [
            (json!({}), vec![]),
            (
                json!({"leaderWorkerTemplate": {"size": 2}}),
                vec![(restart_policy, json!("RecreateGroupOnPodRestart"))],
            ),
            (
                json!({"leaderWorkerTemplate": {"restartPolicy": ""}}),
                vec![(restart_policy, json!("RecreateGroupOnPodRestart"))],
            ),
            (
                json!({"leaderWorkerTemplate": {"restartPolicy": "Default"}}),
                vec![(restart_policy, json!("None"))],
            ),
            (json!({"leaderWorkerTemplate": {"restartPolicy": "RecreateGroupAfterStart"}}), vec![]),
            (
                json!({"rolloutStrategy": null}),
                vec![(
                    "/spec/rolloutStrategy",
                    json!({"type": "RollingUpdate", "rollingUpdateConfiguration": configuration}),
                )],
            ),
            (
                json!({"rolloutStrategy": {"type": ""}}),
                vec![
                    ("/spec/rolloutStrategy/type", json!("RollingUpdate")),
                    (
                        "/spec/rolloutStrategy/rollingUpdateConfiguration",
                        json!({"partition": 0, "maxUnavailable": 1, "maxSurge": 0}),
                    ),
                ],
            ),
            (
                json!({"rolloutStrategy": {"type": "RollingUpdate"}}),
                vec![("/spec/rolloutStrategy/rollingUpdateConfiguration", configuration.clone())],
            ),
            (json!({"rolloutStrategy": {"type": "Recreate"}}), vec![]),
            (
                json!({"networkConfig": null}),
                vec![("/spec/networkConfig", json!({"subdomainPolicy": "Shared"}))],
            ),
            (
                json!({"networkConfig": {"subdomainPolicy": null}}),
                vec![("/spec/networkConfig/subdomainPolicy", json!("Shared"))],
            ),
            // Wrong types are for validation to name.
            (
                json!({"leaderWorkerTemplate": [], "rolloutStrategy": 1, "networkConfig": "x"}),
                vec![],
            ),
        ] {
            assert_eq!(operations(&complete_but(&changes)), expected, "{changes}");
        }
    }

    #[test]
    fn an_absent_parent_is_added_whole() {
        let mut object = json!({});
        let operations = defaults(&object);
        assert_eq!(operations.len(), 1);
        apply(&mut object, operations);
        assert_eq!(
            object,
            json!({"spec": {
                "leaderWorkerTemplate": {"restartPolicy": "RecreateGroupOnPodRestart"},
                "rolloutStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdateConfiguration": {"partition": 0, "maxUnavailable": 1, "maxSurge": 0},
                },
                "networkConfig": {"subdomainPolicy": "Shared"},
            }})
        );
        assert_eq!(defaults(&json!({"spec": "text"})), []);
        assert_eq!(defaults(&json!([1])), []);
    }
}
