//! What happened to the objects of a namespace, and what must never happen, whatever fails.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use lws_api_types::keys::labels;

use crate::Namespace;
use crate::groups::{Pods, leaders};
use crate::recording::{Change, Recording};
use crate::set::partition;
use crate::stand_in::uid;

/// Everything that happens in a namespace from now on.
pub struct Witness {
    stateful_sets: Recording<StatefulSet>,
    pods: Recording<Pod>,
    services: Recording<Service>,
    revisions: Recording<ControllerRevision>,
}

/// A moment of the witness.
#[derive(Clone, Copy)]
pub struct Moment(usize);

impl Witness {
    /// Begins.
    pub async fn start(namespace: &Namespace) -> Result<Self> {
        Ok(Self {
            stateful_sets: Recording::start(namespace).await?,
            pods: Recording::start(namespace).await?,
            services: Recording::start(namespace).await?,
            revisions: Recording::start(namespace).await?,
        })
    }

    /// The present moment.
    pub fn now(&self) -> Result<Moment> {
        Ok(Moment(self.pods.so_far()?.len()))
    }

    /// How many leaders each group has had.
    pub fn leaders(&self) -> Result<BTreeMap<String, usize>> {
        Ok(leaders(&self.pods)?.into_iter().map(|(group, uids)| (group, uids.len())).collect())
    }

    /// Fails when fewer than `ready` groups were ready, or more than `existing` existed, at a moment between two.
    pub fn ensure_budget(
        &self,
        [Moment(begin), Moment(end)]: [Moment; 2],
        ready: usize,
        existing: usize,
    ) -> Result<()> {
        let mut pods = Pods::default();
        for (position, change) in self.pods.so_far()?.into_iter().take(end).enumerate() {
            pods.apply(change);
            if position + 1 >= begin {
                let (now_ready, now_existing) = (pods.ready_groups(), pods.groups());
                anyhow::ensure!(now_ready.len() >= ready, "only {now_ready:?} were ready");
                anyhow::ensure!(now_existing.len() <= existing, "{now_existing:?} existed");
            }
        }
        Ok(())
    }

    /// Fails when the partition of the leader `StatefulSet` of `set` has moved back although the content had not
    /// changed.
    pub fn ensure_partition_moves_down(&self, set: &str) -> Result<()> {
        let mut steps: Vec<(String, i32)> = Vec::new();
        for change in self.stateful_sets.so_far()? {
            let Change::Now(seen) = change else { continue };
            if seen.name_any() != set {
                continue;
            }
            let key = seen.labels().get(labels::REVISION).cloned().unwrap_or_default();
            let step = (key, partition(&seen));
            if let Some(last) = steps.last() {
                let is_allowed = last.0 != step.0 || step.1 <= last.1;
                anyhow::ensure!(is_allowed, "{last:?}, then {step:?}; before: {steps:?}");
            }
            steps.push(step);
        }
        anyhow::ensure!(!steps.is_empty(), "there was no leader StatefulSet of {set}");
        Ok(())
    }

    /// Fails when something was created more than once: the leader `StatefulSet`, the workers of one leader pod, a
    /// Service, the revision of one content.
    pub fn ensure_created_once(&self) -> Result<()> {
        once("StatefulSets", &self.stateful_sets, |it| {
            let leader = it.owner_references().iter().find(|owner| owner.kind == "Pod");
            Some(leader.map_or_else(|| it.name_any(), |leader| leader.uid.clone()))
        })?;
        once("Services", &self.services, |it| Some(it.name_any()))?;
        once("revisions", &self.revisions, |it| {
            // StatefulSets have revisions too, with the labels of their pods.
            let is_own = it.owner_references().iter().any(|owner| owner.kind == "LeaderWorkerSet");
            is_own.then(|| it.labels().get(labels::REVISION).cloned()).flatten()
        })
    }
}

/// Fails when two objects of a kind had the same place.
fn once<K>(what: &str, recording: &Recording<K>, place: impl Fn(&K) -> Option<String>) -> Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let mut uids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for change in recording.so_far()? {
        let (Change::Now(seen) | Change::Gone(seen)) = change;
        if let Some(place) = place(&seen) {
            uids.entry(place).or_default().insert(uid(&seen));
        }
    }
    anyhow::ensure!(!uids.is_empty(), "there were no {what}");
    let twice: Vec<_> = uids.iter().filter(|(_, uids)| uids.len() > 1).collect();
    anyhow::ensure!(twice.is_empty(), "{what} that were created more than once: {twice:?}");
    Ok(())
}
