//! TPU containers that will not agree on their hosts, or have more than they can be told: admission
//! sees one pod at a time and takes the others of the group to be like it.

use std::borrow::Cow;

use serde_json::Value;

use super::super::view::View;
use super::{TEMPLATES, Template, Warnings, division};
use crate::keys::env::TPU_PROCESS_ADDRESSES;
use crate::tpu::{self, TpuContainer as _};

/// What other pods must know about a TPU container.
#[derive(PartialEq, Eq)]
struct Told {
    /// Its port in the addresses that other pods are told.
    port: String,
    /// Whether it is told its hosts by its author.
    has_hosts: bool,
}

/// A container of a template.
struct Container<'a>(View<'a>);

/// Bytes of a variable (name, `=`, value and a null byte) with which Linux starts a process.
const VARIABLE_LIMIT: u64 = 131_072;

pub(super) fn check(view: View<'_>, warnings: &mut Warnings) {
    let [leader, worker] = TEMPLATES.map(|template| containers(view, template));
    let told = |containers: &[Told]| containers.iter().any(|it| !it.has_hosts);
    let differ = !leader.iter().map(|it| &it.port).eq(worker.iter().map(|it| &it.port));
    // What workers are told leaves a leader out that requests no TPUs.
    if differ && !leader.is_empty() && (told(&leader) || told(&worker)) && has_company(view) {
        warnings.push(if worker.is_empty() {
            format_args!(
                "spec.leaderWorkerTemplate: leaderTemplate requests TPUs and workerTemplate does \
                 not: leaders will be told that their workers are TPU hosts"
            )
        } else {
            format_args!(
                "spec.leaderWorkerTemplate: leaderTemplate and workerTemplate differ in their TPU \
                 containers or TPU_PROCESS_PORT: the pods of a group will be told different TPU \
                 hosts"
            )
        });
    }
    for (template, containers) in TEMPLATES.into_iter().zip([leader, worker]) {
        check_length(view, template, &containers, warnings);
    }
}

/// Whether there are workers in the TPU group of a leader.
fn has_company(view: View<'_>) -> bool {
    match view.sub_group() {
        Some(_) => division(view).is_some_and(|it| it.members(0).len() > 1),
        None => view.size() > 1,
    }
}

/// The longest variable must be one that a process can be started with. Told of group 0: the names
/// of later groups are longer by a few digits.
fn check_length(view: View<'_>, template: Template, containers: &[Told], warnings: &mut Warnings) {
    if containers.iter().all(|it| it.has_hosts) {
        return;
    }
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let size = u64::try_from(view.size()).unwrap_or_default();
    let pods = view.sub_group().and_then(|it| u64::try_from(it.size?).ok()).unwrap_or(size);
    let name = count(view.name().len());
    let unique = view.text("/spec/networkConfig/subdomainPolicy") == "UniquePerReplica";
    // `<set>-0-<worker>.<set>`, or `….<set>-0`: all but the digits of the worker.
    let host = 2 * name + if unique { 6 } else { 4 };
    let workers = size.saturating_sub(1);
    let digits = digits(workers) - digits(workers.saturating_sub(pods));
    let ports: u64 = containers.iter().map(|it| count(it.port.len()) + 2).sum();
    let hosts = host.saturating_mul(pods).saturating_add(digits);
    let bytes = hosts
        .saturating_mul(count(containers.len()))
        .saturating_add(ports.saturating_mul(pods))
        .saturating_add(count(TPU_PROCESS_ADDRESSES.len()));
    if bytes > VARIABLE_LIMIT {
        let (path, count) = (template.path, containers.len());
        warnings.push(format_args!(
            "{path}: {TPU_PROCESS_ADDRESSES} will take about {bytes} bytes with {pods} pods of \
             {count} TPU containers in a TPU group: Linux starts no process with a variable of \
             more than {VARIABLE_LIMIT} bytes"
        ));
    }
}

/// Digits of the numbers from 1 to `last` together.
fn digits(last: u64) -> u64 {
    let powers = std::iter::successors(Some(1_u64), |power| power.checked_mul(10));
    powers.take_while(|power| *power <= last).map(|power| last - power + 1).sum()
}

/// The TPU containers of a template in the order of their ids.
fn containers(view: View<'_>, template: Template) -> Vec<Told> {
    let template = template.of(view);
    ["/spec/containers", "/spec/initContainers"]
        .iter()
        .flat_map(|pointer| template.list(pointer))
        .map(|container| Container(View(container)))
        .filter(Container::requests_tpus)
        .enumerate()
        .map(|(position, container)| Told {
            port: container.tpu_port(position).into_owned(),
            has_hosts: container.knows_tpu_hosts(),
        })
        .collect()
}

impl tpu::TpuContainer for Container<'_> {
    fn amounts(&self) -> impl Iterator<Item = Cow<'_, Value>> {
        let resources = self.0.get("/resources").and_then(Value::as_object);
        resources.into_iter().flat_map(tpu::amounts).map(Cow::Borrowed)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.0.list("/env").iter().map(View);
        let variable = variables.find(|it| it.text("/name") == name)?;
        let is_literal = variable.get("/valueFrom").is_none();
        Some(if is_literal { variable.text("/value") } else { "" })
    }
}
