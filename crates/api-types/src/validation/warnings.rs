//! What is allowed, but unlikely to be meant. Total on any JSON: the stored side of an update is
//! asked too.
//!
//! | module | owns |
//! |---|---|
//! | `topology` | exclusive placement that does nothing, or keeps pods from being placed |
//! | `policies` | settings of the set that have no effect |
//! | `templates` | fields of pod templates that have no effect |
//! | `refused` | pod templates and claims that Kubernetes will refuse |
//! | `tpu` | TPU containers that will not agree on their hosts, or have too many |

mod policies;
mod refused;
mod templates;
mod topology;
mod tpu;

use super::name_room;
use super::rule::MOST;
use super::view::View;
use crate::names;

/// The length of a warning that the API server passes on whatever the number of warnings.
const MAX_CHARS: usize = 256;

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
    let mut warnings = Vec::new();
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
    warnings.truncate(MOST);
    for warning in &mut warnings {
        if let Some((end, _)) = warning.char_indices().nth(MAX_CHARS) {
            warning.truncate(end);
        }
    }
    warnings
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
