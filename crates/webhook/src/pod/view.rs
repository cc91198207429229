//! The fields of a pod that decide something, borrowed from the request. Everything else passes
//! by unread.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lws_api_types::keys::{TPU_RESOURCE, annotations, labels};
use lws_api_types::{placement, tpu};
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::{Text, object};

object! {
    /// A `core/v1` `Pod`.
    pub(crate) struct Pod<'a> {
        pub(crate) metadata: Metadata<'a> = "metadata",
        pub(crate) spec: Option<Spec<'a>> = "spec",
    }
}

object! {
    pub(crate) struct Metadata<'a> {
        pub(crate) name: Text<'a> = "name",
        pub(crate) generate_name: Text<'a> = "generateName",
        pub(crate) namespace: Text<'a> = "namespace",
        pub(crate) labels: Labels<'a> = "labels",
        pub(crate) annotations: Annotations<'a> = "annotations",
    }
}

object! {
    /// The labels that are read or written.
    pub(crate) struct Labels<'a> {
        pub(crate) set: Option<Text<'a>> = labels::NAME,
        pub(crate) revision: Option<Text<'a>> = labels::REVISION,
        pub(crate) group_index: Option<Text<'a>> = labels::GROUP_INDEX,
        pub(crate) group_key: Option<Text<'a>> = labels::GROUP_KEY,
        pub(crate) worker_index: Option<Text<'a>> = labels::WORKER_INDEX,
        pub(crate) subgroup_index: Option<Text<'a>> = labels::SUBGROUP_INDEX,
        pub(crate) subgroup_key: Option<Text<'a>> = labels::SUBGROUP_KEY,
    }
}

object! {
    /// The annotations that are read or written.
    pub(crate) struct Annotations<'a> {
        pub(crate) size: Option<Text<'a>> = annotations::SIZE,
        pub(crate) leader_name: Option<Text<'a>> = annotations::LEADER_NAME,
        pub(crate) leader_requests_tpus: Option<Text<'a>> = annotations::LEADER_REQUESTS_TPUS,
        pub(crate) subdomain_policy: Option<Text<'a>> = annotations::SUBDOMAIN_POLICY,
        pub(crate) subgroup_size: Option<Text<'a>> = annotations::SUBGROUP_SIZE,
        pub(crate) subgroup_policy_type: Option<Text<'a>> = annotations::SUBGROUP_POLICY_TYPE,
        pub(crate) exclusive_topology: Option<Text<'a>> = annotations::EXCLUSIVE_TOPOLOGY,
        pub(crate) subgroup_exclusive_topology: Option<Text<'a>> =
            annotations::SUBGROUP_EXCLUSIVE_TOPOLOGY,
        pub(crate) pod_group: Option<Text<'a>> = annotations::POD_GROUP_NAME,
    }
}

object! {
    pub(crate) struct Spec<'a> {
        pub(crate) subdomain: Text<'a> = "subdomain",
        pub(crate) containers: Vec<Container<'a>> = "containers",
        pub(crate) init_containers: Vec<Container<'a>> = "initContainers",
        pub(crate) affinity: Option<Affinity<'a>> = "affinity",
    }
}

object! {
    pub(crate) struct Container<'a> {
        /// `None` when the list does not exist yet.
        pub(crate) env: Option<Vec<EnvVar<'a>>> = "env",
        resources: Resources<'a> = "resources",
    }
}

object! {
    pub(crate) struct EnvVar<'a> {
        pub(crate) name: Text<'a> = "name",
        value: Text<'a> = "value",
        value_from: Option<IgnoredAny> = "valueFrom",
    }
}

object! {
    struct Resources<'a> {
        limits: Amounts<'a> = "limits",
        requests: Amounts<'a> = "requests",
    }
}

object! {
    struct Amounts<'a> {
        /// A quantity: a string or a number.
        tpu: Option<&'a RawValue> = TPU_RESOURCE,
    }
}

object! {
    pub(crate) struct Affinity<'a> {
        pub(crate) pod_affinity: Option<PodAffinity<'a>> = "podAffinity",
        pub(crate) pod_anti_affinity: Option<PodAffinity<'a>> = "podAntiAffinity",
    }
}

object! {
    /// Pod affinity or anti-affinity, which have the same shape.
    pub(crate) struct PodAffinity<'a> {
        pub(crate) required: Option<Vec<AffinityTerm<'a>>> =
            "requiredDuringSchedulingIgnoredDuringExecution",
    }
}

object! {
    pub(crate) struct AffinityTerm<'a> {
        topology_key: Text<'a> = "topologyKey",
        label_selector: Option<LabelSelector<'a>> = "labelSelector",
    }
}

object! {
    struct LabelSelector<'a> {
        match_labels: BTreeMap<Text<'a>, Text<'a>> = "matchLabels",
        match_expressions: Vec<LabelRequirement<'a>> = "matchExpressions",
    }
}

object! {
    struct LabelRequirement<'a> {
        key: Text<'a> = "key",
    }
}

impl Metadata<'_> {
    /// How the pod is called where it is talked about. Before its admission a pod may have only the
    /// beginning of its name.
    pub(crate) fn called(&self) -> String {
        match (&*self.name, &*self.generate_name) {
            ("", "") => "without a name".to_owned(),
            ("", beginning) => format!("{beginning}…"),
            (name, _) => name.to_owned(),
        }
    }
}

impl<'a> Pod<'a> {
    /// The subdomain; empty when there is none.
    pub(crate) fn subdomain(&self) -> &str {
        self.spec.as_ref().map_or("", |spec| &spec.subdomain)
    }

    /// Containers, then init containers, each with the JSON pointer of its list and its position
    /// there.
    pub(crate) fn containers(&self) -> impl Iterator<Item = (&'static str, usize, &Container<'a>)> {
        self.spec.iter().flat_map(|spec| {
            let lists = [
                ("/spec/containers", &spec.containers),
                ("/spec/initContainers", &spec.init_containers),
            ];
            lists.into_iter().flat_map(|(list, containers)| {
                containers.iter().enumerate().map(move |(position, it)| (list, position, it))
            })
        })
    }
}

impl tpu::TpuContainer for Container<'_> {
    fn amounts(&self) -> impl Iterator<Item = Cow<'_, Value>> {
        [&self.resources.limits, &self.resources.requests]
            .into_iter()
            .filter_map(|amounts| amounts.tpu.map(RawValue::get))
            // No quantity, and of any size.
            .filter(|amount| !amount.starts_with(['[', '{']))
            .filter_map(|amount| Some(Cow::Owned(serde_json::from_str(amount).ok()?)))
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let variable = self.env.iter().flatten().find(|variable| &*variable.name == name)?;
        Some(variable.literal().unwrap_or_default())
    }
}

impl EnvVar<'_> {
    /// The value, unless it is empty or comes from elsewhere.
    pub(crate) fn literal(&self) -> Option<&str> {
        (!self.value.is_empty() && self.value_from.is_none()).then_some(&*self.value)
    }
}

impl placement::AffinityTerm for &AffinityTerm<'_> {
    fn topology(&self) -> &str {
        &self.topology_key
    }

    fn selected(&self) -> Option<impl Iterator<Item = &str>> {
        let selector = self.label_selector.as_ref()?;
        let labels = selector.match_labels.keys().map(|key| &**key);
        Some(labels.chain(selector.match_expressions.iter().map(|it| &*it.key)))
    }
}

#[cfg(test)]
mod tests {
    use lws_api_types::tpu::TpuContainer as _;

    use super::*;
    use crate::json::decode;

    #[test]
    fn nulls_and_unknown_fields_are_read_over() {
        let json = br#"{"kind": "Pod", "metadata": {"name": null, "labels": null, "annotations": {"x": "y"},
            "creationTimestamp": null}, "spec": {"containers": [{"name": "c", "env": null,
            "resources": {"limits": null}}], "initContainers": null, "affinity": null, "future": [{}]}}"#;
        let pod: Pod<'_> = decode(json).unwrap();
        let spec = pod.spec.unwrap();
        assert!(pod.metadata.name.is_empty());
        assert!(spec.containers[0].env.is_none() && !spec.containers[0].requests_tpus());
        assert!(spec.affinity.is_none());
        assert!(decode::<Pod<'_>>(b"{}").unwrap().spec.is_none());
    }

    #[test]
    fn wrong_types_are_named() {
        for (json, field) in [
            (r#"{"metadata": {"labels": ["a"]}}"#, "metadata.labels: invalid type"),
            (
                r#"{"metadata": {"labels": {"leaderworkerset.sigs.k8s.io/name": 5}}}"#,
                "metadata.labels.leaderworkerset.sigs.k8s.io/name: invalid type: integer `5`",
            ),
            (
                r#"{"spec": {"containers": [{}, {"env": [{"name": {}}]}]}}"#,
                "spec.containers[1].env[0].name: invalid type: map",
            ),
            (r#"{"spec": {"containers": {}}}"#, "spec.containers: invalid type: map"),
            (r#"{"spec": 1}"#, "spec: invalid type: integer `1`"),
            (r#"{"metadata": {"name": true}}"#, "metadata.name: invalid type: boolean `true`"),
            (r#""pod""#, "invalid type: string \"pod\""),
        ] {
            let error = decode::<Pod<'_>>(json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(field), "{json}: {error}");
        }
    }

    #[test]
    fn tpus_are_requested_by_limit_or_request() {
        for (resources, expected) in [
            (r#"{"limits": {"google.com/tpu": "4"}}"#, true),
            (r#"{"requests": {"google.com/tpu": 4, "cpu": "1"}}"#, true),
            (r#"{"limits": {"google.com/tpu": "0"}}"#, false),
            (r#"{"limits": {"google.com/tpu": ["4"]}, "requests": {"google.com/tpu": {}}}"#, false),
            ("null", false),
        ] {
            let json = format!(r#"{{"resources": {resources}}}"#);
            let container: Container<'_> = decode(json.as_bytes()).unwrap();
            assert_eq!(container.requests_tpus(), expected, "{resources}");
        }
    }
}
