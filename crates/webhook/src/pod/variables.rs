//! The environment of the containers: the variables of the group come first, so that the user's
//! can refer to them, the TPU variables last.

use std::borrow::Cow;
use std::collections::HashSet;

use lws_api_types::keys::env;
use lws_api_types::names;
use lws_api_types::tpu::TpuContainer as _;
use serde::Serialize;

use super::Rejection;
use super::identity::Identity;
use super::tpu::Tpu;
use super::view::{EnvVar, Pod};
use crate::patch::Patch;

/// An environment variable with a literal value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Variable<'a> {
    pub(crate) name: &'static str,
    value: Cow<'a, str>,
}

impl<'a> Variable<'a> {
    pub(crate) fn new(name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        Self { name, value: value.into() }
    }
}

/// Gives every container and init container of `pod`, which belongs to set `set`, its variables.
pub(crate) fn write(
    identity: &Identity<'_>,
    set: &str,
    namespace: &str,
    pod: &Pod<'_>,
    tpu: Option<&Tpu<'_>>,
    patch: &mut Patch,
) -> Result<(), Rejection> {
    let group = group_variables(identity, set, namespace, pod)?;
    let mut tpu_containers = 0;
    for (list, position, container) in pod.containers() {
        let mut last = Vec::new();
        if let Some(tpu) = tpu.filter(|_| container.requests_tpus()) {
            last = tpu.variables(tpu_containers, container);
            tpu_containers += 1;
        }
        let pointer = format!("{list}/{position}/env");
        write_list(&group, container.env.as_deref(), &last, &pointer, patch)?;
    }
    Ok(())
}

/// The variables that every container gets.
fn group_variables<'a>(
    identity: &'a Identity<'_>,
    set: &str,
    namespace: &str,
    pod: &'a Pod<'_>,
) -> Result<[Variable<'a>; 3], Rejection> {
    let Some(group_index) = &identity.group_index else {
        let (namespace, pod) = (namespace.to_owned(), pod.metadata.called());
        return Err(Rejection::NoGroupIndex { namespace, pod });
    };
    let leader = names::leader_address(set, group_index, identity.subdomain, namespace);
    let size = pod.metadata.annotations.size.as_deref().unwrap_or_default();
    Ok([
        Variable::new(env::LEADER_ADDRESS, leader),
        Variable::new(env::GROUP_SIZE, size),
        Variable::new(env::WORKER_INDEX, &*identity.worker_index),
    ])
}

/// Puts `first` in front of the variables at `pointer` and `last`, whose names are not among them,
/// behind. Of variables with the same name the first stays, so `first` replaces the user's.
fn write_list(
    first: &[Variable<'_>],
    present: Option<&[EnvVar<'_>]>,
    last: &[Variable<'_>],
    pointer: &str,
    patch: &mut Patch,
) -> Result<(), serde_json::Error> {
    let Some(present) = present else {
        return patch.add(pointer, &[first, last].concat());
    };
    let (head, rest) = present.split_at_checked(first.len()).unwrap_or((&[], present));
    let in_place =
        !head.is_empty() && head.iter().zip(first).all(|(is, wanted)| is_same(is, wanted));
    let (kept, rest) = if in_place { (first.len(), rest) } else { (0, present) };
    let mut names: HashSet<&str> = first.iter().map(|variable| variable.name).collect();
    let mut repeated: Vec<usize> = (kept..)
        .zip(rest)
        .filter_map(|(position, variable)| (!names.insert(&variable.name)).then_some(position))
        .collect();
    while let Some(position) = repeated.pop() {
        patch.remove(&format!("{pointer}/{position}"))?;
    }
    if !in_place {
        for (position, variable) in first.iter().enumerate() {
            patch.add(&format!("{pointer}/{position}"), variable)?;
        }
    }
    let end = format!("{pointer}/-");
    last.iter().try_for_each(|variable| patch.add(&end, variable))
}

fn is_same(present: &EnvVar<'_>, wanted: &Variable<'_>) -> bool {
    &*present.name == wanted.name && present.literal() == Some(&*wanted.value)
}
