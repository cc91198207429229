//! Which pod of which group a pod is, read from its name and its template, and the labels that
//! say so to selectors.

use std::borrow::Cow;
use std::num::NonZeroU32;

use lws_api_types::keys::{annotations, labels};
use lws_api_types::names;
use lws_api_types::pointer::escape;
use lws_api_types::set::{SubGroupPolicyType, SubdomainPolicy};
use lws_api_types::subgroup::Division;

use super::Rejection;
use super::view::{Annotations, Metadata, Pod};
use crate::json::Text;
use crate::patch::Patch;

/// Place of a pod in its set.
#[derive(Debug)]
pub(crate) struct Identity<'p> {
    /// Position in the group; 0 is the leader.
    pub(crate) ordinal: u32,
    pub(crate) is_leader: bool,
    /// Pods of the group, leader included.
    pub(crate) size: u32,
    pub(crate) group_index: Option<Cow<'p, str>>,
    pub(crate) worker_index: Cow<'p, str>,
    /// `None` when there is nothing to set: workers get theirs from the controller.
    pub(crate) group_key: Option<Cow<'p, str>>,
    /// `None` when there is nothing to set.
    pub(crate) subgroup: Option<Subgroup>,
    /// The policy leaves the pod out: labels of a subgroup come from the template and go.
    is_in_no_subgroup: bool,
    /// How the group is divided, if it is.
    pub(crate) division: Option<Division>,
    pub(crate) subdomain: &'p str,
}

/// The subgroup labels of a pod.
#[derive(Debug)]
pub(crate) struct Subgroup {
    pub(crate) index: String,
    pub(crate) key: String,
}

impl<'p> Identity<'p> {
    /// Places `pod`, which belongs to set `set` and is stored in `namespace`.
    pub(crate) fn of(pod: &'p Pod<'p>, set: &str, namespace: &str) -> Result<Self, Rejection> {
        let metadata = &pod.metadata;
        let Metadata { name, labels, annotations, .. } = metadata;
        let Some(size) = &annotations.size else {
            return Err(Rejection::SizeMissing { pod: metadata.called() });
        };
        let size = number(annotations::SIZE, size)?.get();
        let division = division(size, annotations)?;
        let is_leader = labels.worker_index.as_deref() == Some("0");
        let derived = is_named_by(set, name, is_leader);
        let placed = Placed { metadata, derived };
        if is_leader {
            let subdomain = match annotations.subdomain_policy.as_deref() {
                Some(policy) if policy == SubdomainPolicy::UniquePerReplica.as_str() => name,
                _ => pod.subdomain(),
            };
            Ok(Self {
                ordinal: 0,
                is_leader: true,
                size,
                group_index: Some(placed.group_index()?),
                worker_index: "0".into(),
                group_key: Some(placed.group_key(namespace)),
                subgroup: division.and_then(|division| placed.subgroup(name, division, 0)),
                is_in_no_subgroup: derived
                    && division.is_some_and(|division| division.index(0).is_none()),
                division,
                subdomain,
            })
        } else {
            let ordinal = ordinal(metadata)?;
            // Only pods of a StatefulSet of workers name their leader.
            if ordinal == 0 && annotations.leader_name.is_some() {
                return Err(Rejection::NoWorker { pod: metadata.called() });
            }
            let leader = annotations.leader_name.as_deref().unwrap_or_default();
            Ok(Self {
                ordinal,
                is_leader: false,
                size,
                group_index: labels.group_index.as_deref().map(Cow::Borrowed),
                worker_index: ordinal.to_string().into(),
                group_key: None,
                subgroup: division.and_then(|division| placed.subgroup(leader, division, ordinal)),
                is_in_no_subgroup: false,
                division,
                subdomain: pod.subdomain(),
            })
        }
    }

    /// Adds the labels, and the subdomain, that `pod` does not have yet.
    pub(crate) fn write(&self, pod: &Pod<'_>, patch: &mut Patch) -> Result<(), serde_json::Error> {
        let present = &pod.metadata.labels;
        let subgroup = self.subgroup.as_ref();
        for (key, present, wanted) in [
            (labels::GROUP_INDEX, &present.group_index, self.group_index.as_deref()),
            (labels::GROUP_KEY, &present.group_key, self.group_key.as_deref()),
            (labels::WORKER_INDEX, &present.worker_index, Some(&*self.worker_index)),
            (labels::SUBGROUP_INDEX, &present.subgroup_index, subgroup.map(|it| &*it.index)),
            (labels::SUBGROUP_KEY, &present.subgroup_key, subgroup.map(|it| &*it.key)),
        ] {
            if let Some(wanted) = wanted.filter(|wanted| present.as_deref() != Some(wanted)) {
                patch.add(&format!("/metadata/labels/{}", escape(key)), wanted)?;
            }
        }
        if self.is_in_no_subgroup {
            for (key, present) in [
                (labels::SUBGROUP_INDEX, &present.subgroup_index),
                (labels::SUBGROUP_KEY, &present.subgroup_key),
            ] {
                if present.is_some() {
                    patch.remove(&format!("/metadata/labels/{}", escape(key)))?;
                }
            }
        }
        if self.subdomain != pod.subdomain() {
            patch.add("/spec/subdomain", self.subdomain)?;
        }
        Ok(())
    }
}

/// A pod with what its labels are decided from.
struct Placed<'p> {
    metadata: &'p Metadata<'p>,
    /// Whether the name follows the naming rule of the set. Its labels are then derived from it:
    /// a value that is there already comes from the user's template, where one value would join
    /// all groups into one.
    derived: bool,
}

impl<'p> Placed<'p> {
    fn group_index(&self) -> Result<Cow<'p, str>, Rejection> {
        match self.kept(self.metadata.labels.group_index.as_ref()) {
            Some(index) => Ok(index.into()),
            None => Ok(ordinal(self.metadata)?.to_string().into()),
        }
    }

    fn group_key(&self, namespace: &str) -> Cow<'p, str> {
        match self.kept(self.metadata.labels.group_key.as_ref()) {
            Some(key) => key.into(),
            None => names::group_key(namespace, &self.metadata.name).into(),
        }
    }

    /// `leader` is the name of the leader pod.
    fn subgroup(&self, leader: &str, division: Division, ordinal: u32) -> Option<Subgroup> {
        let present = self.kept(self.metadata.labels.subgroup_index.as_ref());
        if present.is_some_and(|index| !index.is_empty()) {
            return None;
        }
        let index = division.index(ordinal)?.to_string();
        Some(Subgroup { key: names::subgroup_key(leader, &index), index })
    }

    /// The value of a label, if it is to stay.
    fn kept(&self, label: Option<&'p Text<'p>>) -> Option<&'p str> {
        label.filter(|_| !self.derived).map(|label| &**label)
    }
}

/// Whether `pod` is the name of a leader (`<set>-<group>`) or worker (`<set>-<group>-<worker>`)
/// of the set.
fn is_named_by(set: &str, pod: &str, is_leader: bool) -> bool {
    let parent = |name| names::parent_and_ordinal(name).map(|(parent, _)| parent);
    let leader = if is_leader { Some(pod) } else { parent(pod) };
    leader.and_then(parent) == Some(set)
}

fn ordinal(pod: &Metadata<'_>) -> Result<u32, Rejection> {
    let parsed = names::parent_and_ordinal(&pod.name);
    parsed.map(|(_, ordinal)| ordinal).ok_or_else(|| Rejection::NoOrdinal { pod: pod.called() })
}

fn division(size: u32, annotations: &Annotations<'_>) -> Result<Option<Division>, Rejection> {
    let Some(subgroup_size) = &annotations.subgroup_size else { return Ok(None) };
    let excluded = SubGroupPolicyType::LeaderExcluded;
    let policy = match annotations.subgroup_policy_type.as_deref() {
        Some(policy) if policy == excluded.as_str() => excluded,
        _ => SubGroupPolicyType::LeaderWorker,
    };
    let subgroup_size = number(annotations::SUBGROUP_SIZE, subgroup_size)?;
    Ok(Some(Division { size, subgroup_size, policy }))
}

/// The number of pods in annotation `key`: 1 to 2³¹ − 1.
fn number(key: &'static str, value: &str) -> Result<NonZeroU32, Rejection> {
    let rejected = |problem| Rejection::NotANumber { key, value: value.to_owned(), problem };
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(rejected("invalid syntax"));
    }
    let number: i32 = value.parse().map_err(|_| rejected("value out of range"))?;
    u32::try_from(number)
        .ok()
        .and_then(NonZeroU32::new)
        .ok_or_else(|| Rejection::NotPositive { key, value: value.to_owned() })
}
