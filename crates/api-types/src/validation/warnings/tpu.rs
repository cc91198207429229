//! TPU containers that will not agree on their hosts: admission sees one pod at a time and takes
//! the others of the group to be like it.

use std::borrow::Cow;

use serde_json::Value;

use super::super::view::View;
use super::{TEMPLATES, Template};
use crate::keys::{TPU_FIRST_PORT as FIRST_PORT, env};
use crate::pod_template::resources_request_tpus;

/// What other pods must know about a TPU container.
#[derive(PartialEq, Eq)]
struct TpuContainer<'a> {
    /// Its port in the addresses that other pods are told.
    port: Cow<'a, str>,
    /// Whether it is told its hosts by its author.
    has_hosts: bool,
}

pub(super) fn check(view: View<'_>, warnings: &mut Vec<String>) {
    let [leader, worker] = TEMPLATES.map(|template| containers(view, template));
    let told = |containers: &[TpuContainer<'_>]| containers.iter().any(|it| !it.has_hosts);
    let ports = |containers: &[TpuContainer<'_>]| -> Vec<_> {
        containers.iter().map(|it| it.port.to_string()).collect()
    };
    let together = view.size() > 1 && !view.sub_group().is_some_and(|it| it.leader_excluded);
    if together
        && !leader.is_empty()
        && !worker.is_empty()
        && (told(&leader) || told(&worker))
        && ports(&leader) != ports(&worker)
    {
        warnings.push(
            "spec.leaderWorkerTemplate: leaderTemplate and workerTemplate differ in their TPU \
             containers or TPU_PROCESS_PORT: the pods of a group will be told different TPU hosts"
                .to_owned(),
        );
    }
}

/// The TPU containers of a template in the order of their ids.
fn containers(view: View<'_>, template: Template) -> Vec<TpuContainer<'_>> {
    let template = template.of(view);
    ["/spec/containers", "/spec/initContainers"]
        .iter()
        .flat_map(|pointer| template.list(pointer))
        .filter(|container| {
            let resources = View(container).get("/resources").and_then(Value::as_object);
            resources.is_some_and(resources_request_tpus)
        })
        .enumerate()
        .map(|(position, container)| {
            let variables = View(container).list("/env");
            let variable =
                |name: &str| variables.iter().map(View).find(|it| it.text("/name") == name);
            TpuContainer {
                port: variable(env::TPU_PROCESS_PORT)
                    .filter(|it| it.get("/valueFrom").is_none())
                    .map(|it| it.text("/value"))
                    .filter(|port| !port.is_empty())
                    .map_or_else(|| (FIRST_PORT + position).to_string().into(), Cow::Borrowed),
                has_hosts: variable(env::TPU_WORKER_HOSTNAMES).is_some()
                    || variable(env::TPU_WORKER_ID).is_some(),
            }
        })
        .collect()
}
