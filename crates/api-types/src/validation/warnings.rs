//! What is allowed, but unlikely to be meant. Total on any JSON: the stored side of an update is
//! asked too.
//!
//! | module | owns |
//! |---|---|
//! | `topology` | exclusive placement that does nothing, or keeps pods from being placed |
//! | `policies` | settings of the set that have no effect |
//! | `templates` | fields of pod templates that have no effect |
//! | `refused` | pod templates and claims that Kubernetes will refuse |
//! | `resources` | amounts of devices in them that it will refuse |
//! | `tpu` | TPU containers that will not agree on their hosts, or have too many |

mod policies;
mod refused;
mod resources;
mod templates;
mod topology;
mod tpu;

use std::fmt::Arguments;
use std::num::NonZeroU32;

use serde_json::Value;

use super::name_room;
use super::rule::MOST;
use super::view::View;
use crate::names;
use crate::set::SubGroupPolicyType;
use crate::subgroup::Division;

/// The length of a warning that the API server passes on whatever the number of warnings.
const MAX_CHARS: usize = 256;

/// The length of a key or value that is quoted in a warning: the longest label value, in quotes,
/// and the next longer one.
const MAX_QUOTED: usize = 66;

/// The pod templates of a set: the JSON pointer and the path of each.
const TEMPLATES: [Template; 2] = [
    Template {
        pointer: "/spec/leaderWorkerTemplate/leaderTemplate",
        path: "spec.leaderWorkerTemplate.leaderTemplate",
    },
    WORKER_TEMPLATE,
];

const WORKER_TEMPLATE: Template = Template {
    pointer: "/spec/leaderWorkerTemplate/workerTemplate",
    path: "spec.leaderWorkerTemplate.workerTemplate",
};

/// Where a pod template is.
#[derive(Clone, Copy)]
struct Template {
    pointer: &'static str,
    path: &'static str,
}

impl Template {
    /// The template that leaders are made from.
    fn of_leaders(view: View<'_>) -> Self {
        let [leader, worker] = TEMPLATES;
        if view.get(leader.pointer).is_some() { leader } else { worker }
    }

    /// The template itself; what is absent reads as null.
    fn of(self, view: View<'_>) -> View<'_> {
        View(view.get(self.pointer).unwrap_or_default())
    }
}

/// What the author of a set should know about it.
pub(super) fn of(view: View<'_>) -> Vec<String> {
    let mut warnings = Warnings::default();
    warnings.extend(name_room::warning(view));
    warnings.extend(shared_name(view));
    topology::check(view, &mut warnings);
    policies::check(view, &mut warnings);
    for template in TEMPLATES {
        templates::check(template.of(view), template.path, &mut warnings);
        if view.get(template.pointer).is_some() {
            refused::check_template(template.of(view), template.path, &mut warnings);
        }
    }
    refused::check_claims(view, &mut warnings);
    tpu::check(view, &mut warnings);
    warnings.0
}

/// What is warned of, as far as it is told.
#[derive(Debug, Default)]
struct Warnings(Vec<String>);

impl Warnings {
    /// Adds one of at most [`MAX_CHARS`], unless there are [`MOST`]: its text is not made then.
    fn push(&mut self, warning: Arguments<'_>) {
        if self.0.len() < MOST {
            self.0.push(shortened(printable(warning.to_string()), MAX_CHARS));
        }
    }

    fn extend(&mut self, warnings: impl IntoIterator<Item = String>) {
        warnings.into_iter().for_each(|it| self.push(format_args!("{it}")));
    }
}

/// `text` with its control characters escaped: the API server passes on no warning that has any.
fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// `value` as JSON, of which there may be only an excerpt.
fn quoted(value: impl Into<Value>) -> String {
    excerpt(&value.into().to_string())
}

/// As much of a text of any length as shows what is wrong with it, so that there is room for what
/// comes of that.
fn excerpt(text: &str) -> String {
    shortened(text.to_owned(), MAX_QUOTED)
}

/// The first `limit` characters, the last of which says so when there are more.
fn shortened(mut text: String, limit: usize) -> String {
    if text.chars().nth(limit).is_some() {
        let end = text.char_indices().nth(limit - 1).map_or(0, |(end, _)| end);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// How a group is divided; `None` when it is not, or cannot be.
fn division(view: View<'_>) -> Option<Division> {
    let sub_group = view.sub_group()?;
    let policy = if sub_group.leader_excluded {
        SubGroupPolicyType::LeaderExcluded
    } else {
        SubGroupPolicyType::LeaderWorker
    };
    let subgroup_size = NonZeroU32::new(u32::try_from(sub_group.size?).ok()?)?;
    let size = u32::try_from(view.size()).ok()?;
    Some(Division { size, subgroup_size, policy })
}

/// A set named `x-0` and group 0 of a set named `x` need objects of the same name.
fn shared_name(view: View<'_>) -> Option<String> {
    let name = view.name();
    let (parent, ordinal) = names::parent_and_ordinal(name)?;
    (!parent.is_empty()).then(|| {
        format!(
            "metadata.name: group {ordinal} of a LeaderWorkerSet {parent} needs objects named \
             {name} too: the two sets cannot share a namespace"
        )
    })
}
