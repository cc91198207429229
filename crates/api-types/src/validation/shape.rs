//! The type of every field that a rule reads. The API server has checked it against the schema;
//! where no schema ran, a wrong type is reported with the field and its value.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use super::field_error::FieldError;
use super::rule::{Rule, Violation, Violations};

/// What a value must be. Null counts as absent everywhere.
enum Shape {
    Int32,
    Int64,
    Boolean,
    Text,
    OneOf(&'static [&'static str]),
    Int32OrText,
    List(&'static Shape),
    /// An object with any keys.
    Map(&'static Shape),
    /// An object; members that are not listed may be anything.
    Object(&'static [Field]),
}

struct Field {
    name: &'static str,
    shape: Shape,
    required: bool,
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

static ROOT: Shape = Shape::Object(&[
    optional("metadata", Shape::Object(METADATA)),
    required("spec", Shape::Object(SPEC)),
]);

const METADATA: &[Field] = &[
    optional("name", Shape::Text),
    optional("generateName", Shape::Text),
    optional("namespace", Shape::Text),
    optional("generation", Shape::Int64),
    optional("labels", Shape::Map(&Shape::Text)),
    optional("annotations", Shape::Map(&Shape::Text)),
    optional(
        "ownerReferences",
        Shape::List(&Shape::Object(&[
            optional("apiVersion", Shape::Text),
            optional("kind", Shape::Text),
            optional("name", Shape::Text),
            optional("uid", Shape::Text),
            optional("controller", Shape::Boolean),
        ])),
    ),
    optional("finalizers", Shape::List(&Shape::Text)),
    optional(
        "managedFields",
        Shape::List(&Shape::Object(&[
            optional("operation", Shape::Text),
            optional("fieldsType", Shape::Text),
            optional("manager", Shape::Text),
            optional("subresource", Shape::Text),
        ])),
    ),
];

const SPEC: &[Field] = &[
    optional("replicas", Shape::Int32),
    required("leaderWorkerTemplate", Shape::Object(LEADER_WORKER_TEMPLATE)),
    optional(
        "rolloutStrategy",
        Shape::Object(&[
            optional("type", Shape::OneOf(&["RollingUpdate"])),
            optional(
                "rollingUpdateConfiguration",
                Shape::Object(&[
                    optional("partition", Shape::Int32),
                    optional("maxUnavailable", Shape::Int32OrText),
                    optional("maxSurge", Shape::Int32OrText),
                ]),
            ),
        ]),
    ),
    optional("startupPolicy", Shape::OneOf(&["LeaderCreated", "LeaderReady"])),
    optional(
        "networkConfig",
        Shape::Object(&[optional(
            "subdomainPolicy",
            Shape::OneOf(&["Shared", "UniquePerReplica"]),
        )]),
    ),
];

const LEADER_WORKER_TEMPLATE: &[Field] = &[
    optional("leaderTemplate", Shape::Object(&[])),
    required("workerTemplate", Shape::Object(&[])),
    optional("size", Shape::Int32),
    optional(
        "restartPolicy",
        Shape::OneOf(&["Default", "RecreateGroupOnPodRestart", "RecreateGroupAfterStart", "None"]),
    ),
    optional(
        "subGroupPolicy",
        Shape::Object(&[
            optional("subGroupPolicyType", Shape::OneOf(&["LeaderWorker", "LeaderExcluded"])),
            optional("subGroupSize", Shape::Int32),
        ]),
    ),
    optional("volumeClaimTemplates", Shape::List(&Shape::Object(&[]))),
    optional(
        "persistentVolumeClaimRetentionPolicy",
        Shape::Object(&[optional("whenDeleted", Shape::Text), optional("whenScaled", Shape::Text)]),
    ),
];

/// The fields of `object` that are missing, of the wrong type, or not one of the known values.
pub(super) fn check(object: &Value) -> Violations {
    let mut errors = Violations::default();
    ROOT.check(object, &Path::Root, &mut errors);
    errors
}

impl Shape {
    fn check(&self, value: &Value, path: &Path<'_>, errors: &mut Violations) {
        let problem = match (self, value) {
            (_, Value::Null)
            | (Self::Boolean, Value::Bool(_))
            | (Self::Text | Self::Int32OrText, Value::String(_)) => return,
            (Self::Object(fields), Value::Object(object)) => {
                return check_fields(fields, object, path, errors);
            }
            (Self::Map(item), Value::Object(object)) => {
                for (key, value) in object {
                    item.check(value, &Path::Key(path, key), errors);
                }
                return;
            }
            (Self::List(item), Value::Array(list)) => {
                for (index, value) in list.iter().enumerate() {
                    item.check(value, &Path::Index(path, index), errors);
                }
                return;
            }
            (Self::OneOf(supported), Value::String(text)) => {
                if !supported.contains(&text.as_str()) {
                    errors.push(wrong(FieldError::unsupported(path, text.as_str(), supported)));
                }
                return;
            }
            (Self::Int64, Value::Number(number)) if number.is_i64() => return,
            (Self::Int32 | Self::Int32OrText, Value::Number(number)) if !number.is_f64() => {
                match number.as_i64().map(i32::try_from) {
                    Some(Ok(_)) => return,
                    _ => "must be between -2147483648 and 2147483647, inclusive",
                }
            }
            (Self::Int32 | Self::Int64, _) => "must be an integer",
            (Self::Boolean, _) => "must be a boolean",
            (Self::Text | Self::OneOf(_), _) => "must be a string",
            (Self::Int32OrText, _) => "must be an integer or a string",
            (Self::List(_), _) => "must be a list",
            (Self::Map(_) | Self::Object(_), _) => "must be an object",
        };
        errors.push(wrong(FieldError::invalid(path, value.clone(), problem)));
    }
}

fn check_fields(
    fields: &[Field],
    object: &Map<String, Value>,
    path: &Path<'_>,
    errors: &mut Violations,
) {
    for Field { name, shape, required } in fields {
        let path = Path::Field(path, name);
        match object.get(*name) {
            None | Some(Value::Null) if *required => {
                errors.push(wrong(FieldError::required(&path, "")));
            }
            None => {}
            Some(value) => shape.check(value, &path, errors),
        }
    }
}

fn wrong(error: FieldError) -> Violation {
    Rule::Schema.broken(error)
}

/// Where a value is. A linked list on the stack: it becomes text only for an error.
enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => write!(f, "object"),
            Self::Field(Self::Root, name) => write!(f, "{name}"),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Key(parent, key) => write!(f, "{parent}[{key}]"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl From<&Path<'_>> for Cow<'static, str> {
    fn from(path: &Path<'_>) -> Self {
        Self::Owned(path.to_string())
    }
}
