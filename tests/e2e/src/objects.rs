//! What the objects of a set must look like.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use lws_api_types::keys::{annotations, labels};
use lws_api_types::set::SubdomainPolicy;
use lws_api_types::{LeaderWorkerSet, names, revision};
use lws_harness::wait;

use crate::differences::Differences;
use crate::{DEADLINE, TestSet};

impl TestSet {
    /// Waits until everything is at the current revision and ready, with `replicas` groups and no surge left.
    pub async fn done(&self, replicas: i32) -> Result<()> {
        self.expect(&format!("available p0 r{replicas} ({replicas}/{replicas})")).await?;
        self.valid_leader_set(replicas).await?;
        self.valid_worker_sets().await
    }

    /// Waits until the leader `StatefulSet` is as it must be, with so many replicas.
    pub async fn valid_leader_set(&self, replicas: i32) -> Result<()> {
        let description = format!("valid leader StatefulSet with {replicas} replicas");
        let look = async || {
            check_leader_set(&self.live().await?, &self.leader_set().await?, replicas).map(Some)
        };
        Ok(wait::eventually(DEADLINE, &description, look).await?)
    }

    /// Waits until there is one valid worker `StatefulSet` for each replica of the leader `StatefulSet`, and no other.
    pub async fn valid_worker_sets(&self) -> Result<()> {
        let look = async || {
            self.namespace().play_garbage_collector().await?;
            let live = self.live().await?;
            let all: Vec<StatefulSet> = self.namespace().all().await?;
            let (leader_sets, worker_sets): (Vec<_>, Vec<_>) = all
                .into_iter()
                .filter(|it| it.labels().get(labels::NAME).is_some_and(|it| it == self.name()))
                .partition(|it| it.name_any() == self.name());
            let leader_set = leader_sets.first().context("no leader StatefulSet")?;
            let size = live.spec.leader_worker_template.size();
            let groups = if size == 1 { 0 } else { crate::set::replicas(leader_set) };
            let mut expected: Vec<_> = (0..groups).map(|group| self.group(group)).collect();
            expected.sort_unstable();
            let seen: Vec<_> = worker_sets.iter().map(kube::ResourceExt::name_any).collect();
            anyhow::ensure!(seen == expected, "expected {expected:?}, seen {seen:?}");
            worker_sets.iter().try_for_each(|it| check_worker_set(&live, it)).map(Some)
        };
        Ok(wait::eventually(DEADLINE, "valid worker StatefulSets", look).await?)
    }

    /// Waits until there are worker `StatefulSet`s for these groups, and for no other.
    pub async fn expect_worker_sets_of(&self, groups: &[i32]) -> Result<()> {
        let expected: Vec<_> = groups.iter().map(|group| self.group(*group)).collect();
        let description = format!("worker StatefulSets {expected:?}");
        let look = async || self.worker_set_names().await;
        wait::until(DEADLINE, &description, look, |seen| *seen == expected).await?;
        Ok(())
    }

    /// The names of all worker `StatefulSet`s.
    pub async fn worker_set_names(&self) -> Result<Vec<String>> {
        let all: Vec<StatefulSet> = self.namespace().all().await?;
        let names = all.iter().map(kube::ResourceExt::name_any);
        Ok(names.filter(|name| name != self.name()).collect())
    }

    /// Waits until there are so many Services in the namespace, all as they must be.
    pub async fn valid_services(&self, count: usize) -> Result<()> {
        let description = format!("{count} valid Services");
        let look = async || {
            let live = self.live().await?;
            let services: Vec<Service> = self.namespace().all().await?;
            anyhow::ensure!(services.len() == count, "seen {} Services", services.len());
            services.iter().try_for_each(|it| check_service(&live, it)).map(Some)
        };
        Ok(wait::eventually(DEADLINE, &description, look).await?)
    }
}

fn check_leader_set(set: &LeaderWorkerSet, seen: &StatefulSet, replicas: i32) -> Result<()> {
    let template = &set.spec.leader_worker_template;
    let key = revision::key(&revision::encode(&set.spec));
    let spec = seen.spec.as_ref().context("no spec")?;
    let selector = [(labels::NAME, set.name()), (labels::WORKER_INDEX, "0")];
    let mut differences = Differences::default();
    let (seen_labels, seen_annotations) = (seen.labels(), seen.annotations());
    differences.same("label name", value(seen_labels, labels::NAME), Some(set.name()));
    differences.same("label revision", value(seen_labels, labels::REVISION), Some(&*key));
    let replicas_text = set.spec.replicas().to_string();
    let annotated = value(seen_annotations, annotations::REPLICAS);
    differences.same("annotation replicas", annotated, Some(&*replicas_text));
    differences.same("replicas", spec.replicas, Some(replicas));
    differences.same("service name", spec.service_name.as_deref(), Some(set.name()));
    differences.same("pod management", spec.pod_management_policy.as_deref(), Some("Parallel"));
    differences.same("selector", spec.selector.match_labels.clone(), Some(map(&selector)));

    let (template_labels, template_annotations) = template_metadata(spec);
    let mut expected = map(&selector);
    expected.insert(labels::REVISION.to_owned(), key.clone());
    differences.same("template labels", template_labels, expected);
    for topology in [annotations::EXCLUSIVE_TOPOLOGY, annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY] {
        let seen = value(&template_annotations, topology);
        differences.same(topology, seen, set.annotation(topology));
    }
    let size = template.size().to_string();
    let seen_size = value(&template_annotations, annotations::SIZE);
    differences.same("template size", seen_size, Some(&*size));
    let pod_template = template.leader_template.as_ref().unwrap_or(&template.worker_template);
    differences.same("container", first_container(spec), container_of(pod_template.spec()));
    differences.into_result().context("leader StatefulSet")
}

fn check_worker_set(set: &LeaderWorkerSet, seen: &StatefulSet) -> Result<()> {
    let template = &set.spec.leader_worker_template;
    let name = seen.name_any();
    let ordinal = names::parent_and_ordinal(&name).context("name without ordinal")?.1.to_string();
    let key = revision::key(&revision::encode(&set.spec));
    let spec = seen.spec.as_ref().context("no spec")?;
    let mut differences = Differences::default();
    let (template_labels, template_annotations) = template_metadata(spec);
    for (what, seen) in [("object", seen.labels()), ("template", &template_labels)] {
        for (label, expected) in [
            (labels::NAME, set.name()),
            (labels::GROUP_INDEX, &*ordinal),
            (labels::REVISION, &*key),
        ] {
            differences.same(&format!("{what} label {label}"), value(seen, label), Some(expected));
        }
        let has_key = value(seen, labels::GROUP_KEY).is_some();
        differences.same(&format!("{what} has a group key"), has_key, true);
    }
    let size = template.size().to_string();
    let topology = set.annotation(annotations::EXCLUSIVE_TOPOLOGY);
    for (annotation, expected) in [
        (annotations::SIZE, Some(&*size)),
        (annotations::LEADER_NAME, Some(&*name)),
        (annotations::EXCLUSIVE_TOPOLOGY, topology),
    ] {
        differences.same(annotation, value(&template_annotations, annotation), expected);
    }
    differences.same("replicas", spec.replicas, Some(template.size() - 1));
    differences.same("pod management", spec.pod_management_policy.as_deref(), Some("Parallel"));
    differences.same("first ordinal", spec.ordinals.as_ref().and_then(|it| it.start), Some(1));
    let worker_template = &template.worker_template;
    differences.same("container", first_container(spec), container_of(worker_template.spec()));
    differences.into_result().with_context(|| format!("worker StatefulSet {name}"))
}

fn check_service(set: &LeaderWorkerSet, seen: &Service) -> Result<()> {
    let name = seen.name_any();
    let spec = seen.spec.as_ref().context("no spec")?;
    let mut selector = map(&[(labels::NAME, set.name())]);
    if set.spec.subdomain_policy() == SubdomainPolicy::UniquePerReplica {
        let ordinal = names::parent_and_ordinal(&name).context("name without ordinal")?.1;
        selector.insert(labels::GROUP_INDEX.to_owned(), ordinal.to_string());
    }
    let mut differences = Differences::default();
    differences.same("cluster IP", spec.cluster_ip.as_deref(), Some("None"));
    differences.same("not ready addresses", spec.publish_not_ready_addresses, Some(true));
    let owner = seen.owner_references().first().map(|it| it.name.as_str());
    differences.same("first owner", owner, Some(&*name));
    differences.same("selector", spec.selector.clone(), Some(selector));
    differences.into_result().with_context(|| format!("Service {name}"))
}

type Strings = BTreeMap<String, String>;

fn map(pairs: &[(&str, &str)]) -> Strings {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn value<'a>(map: &'a Strings, key: &str) -> Option<&'a str> {
    map.get(key).map(String::as_str)
}

/// Labels and annotations of the pod template.
fn template_metadata(spec: &StatefulSetSpec) -> (Strings, Strings) {
    let metadata = spec.template.metadata.clone().unwrap_or_default();
    (metadata.labels.unwrap_or_default(), metadata.annotations.unwrap_or_default())
}

/// The name of the first container of the pod template.
fn first_container(spec: &StatefulSetSpec) -> Option<&str> {
    spec.template.spec.as_ref()?.containers.first().map(|it| it.name.as_str())
}

fn container_of(pod: Option<&serde_json::Map<String, serde_json::Value>>) -> Option<&str> {
    pod?.get("containers")?.get(0)?.get("name")?.as_str()
}
