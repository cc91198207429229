//! What there is once everything has come to rest.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use lws_api_types::revision;
use lws_api_types::set::SubdomainPolicy;

use crate::history::{Kind, Object, State};

/// Fails unless all the sets, so many, are there, everything is as they ask for, and nothing else is there.
pub(crate) fn is_reached(state: &State, sets: usize) -> Result<()> {
    let count = state.all(Kind::Set).count();
    ensure!(count == sets, "there are {count} of {sets} sets");
    for set in state.all(Kind::Set) {
        is_settled(state, set).with_context(|| format!("set {}", set.name))?;
    }
    for kind in [Kind::StatefulSet, Kind::Pod, Kind::Service, Kind::Revision] {
        for object in state.all(kind) {
            is_owned(state, object).with_context(|| format!("{kind:?} {}", object.name))?;
        }
    }
    Ok(())
}

/// The pods that stay although their `StatefulSet` is gone. A garbage collector that has lost its connection to the API
/// server may have forgotten them, and finds them when it is started again; until then, a pod of their name cannot be
/// created.
pub(crate) fn left_by_garbage_collector(state: &State) -> Vec<String> {
    let is_left = |pod: &&Object| {
        let is_owner = |it: &Object| it.uid == pod.owner_uid();
        !pod.deleting && !state.all(Kind::StatefulSet).any(is_owner)
    };
    state.all(Kind::Pod).filter(is_left).map(|it| it.name.clone()).collect()
}

fn is_settled(state: &State, object: &Object) -> Result<()> {
    let set = object.as_set().context("not a set")?;
    let name = set.name();
    ensure!(!object.deleting, "it is being deleted");
    let (replicas, size) = (set.spec.replicas(), set.spec.leader_worker_template.size());
    let key = revision::key(&revision::encode(&set.spec));
    let partition = set.spec.rolling_update().partition;

    let leader_set = state.get(Kind::StatefulSet, name).context("no leader StatefulSet")?;
    ensure!(leader_set.key() == key, "its StatefulSet is at {} instead of {key}", leader_set.key());
    let (wanted, _) = leader_set.as_stateful_set().context("not a StatefulSet")?;
    ensure!(wanted == replicas, "its StatefulSet wants {wanted} of {replicas} groups");

    let leaders: Vec<_> = state.leaders(name).collect();
    let indexes: BTreeSet<_> = leaders.iter().filter_map(|it| it.group()).collect();
    ensure!(
        indexes == (0..replicas).collect::<BTreeSet<_>>(),
        "there are groups {indexes:?} of {replicas}"
    );
    for leader in &leaders {
        ensure!(state.is_ready(leader), "group {} is not ready", leader.name);
        let index = i64::from(leader.group().unwrap_or_default());
        let is_current = leader.key() == key && leader.size() == usize::try_from(size)?;
        ensure!(is_current || index < partition, "group {} is at {}", leader.name, leader.key());
    }
    let pods = state.of_set(Kind::Pod, name).count();
    let members: usize = leaders.iter().map(|it| it.size()).sum();
    ensure!(pods == members, "there are {pods} pods of {members}");

    let current = leaders.iter().filter(|it| it.key() == key).count();
    let status = set.status.as_ref().context("no status")?;
    let observed = status.observed_generation;
    ensure!(observed == set.metadata.generation, "generation {observed:?} is observed");
    let told = (status.replicas, status.ready_replicas, i64::from(status.updated_replicas));
    let expected = (replicas, replicas, i64::try_from(current)?);
    ensure!(told == expected, "status tells of (all, ready, updated) {told:?}, not {expected:?}");
    let conditions: BTreeSet<_> =
        status.conditions.iter().filter(|it| it.status == "True").map(|it| &*it.type_).collect();
    ensure!(conditions == BTreeSet::from(["Available"]), "it is {conditions:?}");

    let names: Vec<String> = match set.spec.subdomain_policy() {
        SubdomainPolicy::Shared => vec![name.to_owned()],
        SubdomainPolicy::UniquePerReplica => {
            (0..replicas).map(|it| format!("{name}-{it}")).collect()
        }
    };
    let lacks = names.iter().find(|it| state.get(Kind::Service, it).is_none());
    // Groups of an older revision may have Services of an older kind.
    ensure!(lacks.is_none() || partition > 0, "Service {lacks:?} is not there");

    let used: BTreeSet<_> = leaders.iter().map(|it| it.key()).chain([&*key]).collect();
    let mut kept: Vec<_> = state
        .of_set(Kind::Revision, name)
        .filter(|it| it.policy().is_some())
        .map(Object::key)
        .collect();
    kept.sort_unstable();
    ensure!(kept == used.into_iter().collect::<Vec<_>>(), "there are revisions {kept:?}");
    Ok(())
}

/// Fails unless the object stays and the chain of its owners ends at a set that is there.
fn is_owned(state: &State, object: &Object) -> Result<()> {
    ensure!(!object.deleting, "it is being deleted");
    let owner = object.owner.as_ref().context("it has no owner")?;
    let kind = match owner.kind.as_str() {
        "LeaderWorkerSet" => Kind::Set,
        "StatefulSet" => Kind::StatefulSet,
        "Pod" => Kind::Pod,
        other => anyhow::bail!("it belongs to a {other}"),
    };
    let found = state.get(kind, &owner.name).context("its owner is gone")?;
    ensure!(found.uid == owner.uid, "its owner is gone, and another one has its name");
    if kind == Kind::Set { Ok(()) } else { is_owned(state, found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::made_up::MadeUp;

    #[test]
    fn pods_without_their_stateful_set_are_left() {
        let mut it = MadeUp::new(2, 1);
        assert_eq!(left_by_garbage_collector(&it.history.end()), [""; 0]);
        it.gone("s-1");
        it.gone_stateful_set("s-1");
        assert_eq!(left_by_garbage_collector(&it.history.end()), ["s-1-1"]);
    }
}
