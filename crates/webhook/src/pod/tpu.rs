//! TPU environment: every container that requests TPUs learns the hosts of its TPU group and its
//! own position among them.
//!
//! A TPU group is the subgroup of the pod, or the whole group where there are no subgroups;
//! without the leader if that requests no TPUs. All its pods are taken to have the same TPU
//! containers and ports as this one: admission sees one pod at a time.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use lws_api_types::keys::env;
use lws_api_types::names;
use lws_api_types::tpu::TpuContainer as _;

use super::Rejection;
use super::identity::Identity;
use super::variables::Variable;
use super::view::{Container, Metadata, Pod};

/// Bytes that the host lists of a pod may take: what etcd accepts as one object by default.
const LISTS_LIMIT: usize = 1_572_864;

/// What the TPU containers of a pod are told.
#[derive(Debug)]
pub(crate) struct Tpu<'p> {
    leader: &'p str,
    hosts: String,
    addresses: String,
    /// Id of the first TPU container of the pod.
    first_id: usize,
    ports: Vec<Cow<'p, str>>,
}

impl<'p> Tpu<'p> {
    /// Host lists of the TPU group of `pod`; `None` when there is no container to tell them to.
    pub(crate) fn of(identity: &Identity<'p>, pod: &'p Pod<'p>) -> Result<Option<Self>, Rejection> {
        if tpu_containers(pod).all(Container::knows_tpu_hosts) {
            return Ok(None);
        }
        let ports = ports(pod);
        let name = &*pod.metadata.name;
        let leader = if identity.is_leader { name } else { leader_of(&pod.metadata)? };
        let members = members(identity, pod);
        let Some(position) = position(&members, identity.ordinal) else {
            return Err(Rejection::OutsideGroup {
                pod: pod.metadata.called(),
                ordinal: identity.ordinal,
                size: identity.size,
            });
        };
        let first_id = position * ports.len();
        let bytes = lists_bytes(leader, identity.subdomain, &members, &ports);
        let bytes = bytes.saturating_mul(ports.len());
        if bytes > LISTS_LIMIT {
            let pod = pod.metadata.called();
            return Err(Rejection::HostListsTooLong { pod, bytes, limit: LISTS_LIMIT });
        }
        let (hosts, addresses) = lists(leader, identity.subdomain, members, &ports);
        Ok(Some(Self { leader, hosts, addresses, first_id, ports }))
    }

    /// The variables of the TPU container at `position` among those of the pod; none when the
    /// container sets its own hosts or id. `TPU_PROCESS_PORT` is left out where it is set.
    pub(crate) fn variables(
        &self,
        position: usize,
        container: &Container<'_>,
    ) -> Vec<Variable<'_>> {
        if container.knows_tpu_hosts() {
            return Vec::new();
        }
        let is_set = |name| container.variable(name).is_some();
        let id = (self.first_id + position).to_string();
        let mut variables = vec![
            Variable::new(env::TPU_WORKER_HOSTNAMES, self.hosts.as_str()),
            Variable::new(env::TPU_WORKER_ID, id),
            Variable::new(env::TPU_NAME, self.leader),
            Variable::new(env::TPU_PROCESS_ADDRESSES, self.addresses.as_str()),
        ];
        if let Some(port) = self.ports.get(position) {
            variables.push(Variable::new(env::TPU_PROCESS_PORT, &**port));
        }
        variables.retain(|variable| !is_set(variable.name));
        variables
    }
}

fn tpu_containers<'p>(pod: &'p Pod<'p>) -> impl Iterator<Item = &'p Container<'p>> {
    pod.containers().map(|(_, _, container)| container).filter(|it| it.requests_tpus())
}

/// Port of each TPU container.
fn ports<'p>(pod: &'p Pod<'p>) -> Vec<Cow<'p, str>> {
    let containers = tpu_containers(pod).enumerate();
    containers.map(|(position, container)| container.tpu_port(position)).collect()
}

fn leader_of<'p>(worker: &'p Metadata<'p>) -> Result<&'p str, Rejection> {
    match names::parent_and_ordinal(&worker.name) {
        Some((leader, _)) if !leader.is_empty() => Ok(leader),
        _ => Err(Rejection::NoParent { pod: worker.called() }),
    }
}

/// Ordinals of the pods of the TPU group.
fn members(identity: &Identity<'_>, pod: &Pod<'_>) -> Range<u32> {
    let pods = match identity.division {
        Some(division) => division.members(identity.ordinal),
        None => 0..identity.size,
    };
    let leader_requests = identity.is_leader
        || pod.metadata.annotations.leader_requests_tpus.as_deref() == Some("true");
    if leader_requests { pods } else { pods.start.max(1)..pods.end }
}

fn position(members: &Range<u32>, ordinal: u32) -> Option<usize> {
    let offset = members.contains(&ordinal).then(|| ordinal - members.start)?;
    usize::try_from(offset).ok()
}

/// Bytes of both lists, estimated from above.
fn lists_bytes(
    leader: &str,
    subdomain: &str,
    members: &Range<u32>,
    ports: &[Cow<'_, str>],
) -> usize {
    // Two separators of a host, ten digits of an ordinal, and a comma.
    let host = leader.len() + subdomain.len() + 13;
    let of_a_pod: usize = ports.iter().map(|port| 2 * host + 1 + port.len()).sum();
    members.len().saturating_mul(of_a_pod)
}

/// The hosts and the addresses (`host:port`) of `members`, comma-separated; a pod is named once
/// for each of its TPU containers.
fn lists(
    leader: &str,
    subdomain: &str,
    members: Range<u32>,
    ports: &[Cow<'_, str>],
) -> (String, String) {
    let bytes = lists_bytes(leader, subdomain, &members, ports);
    let (mut hosts, mut addresses) = (String::with_capacity(bytes), String::with_capacity(bytes));
    let mut host = String::with_capacity(leader.len() + subdomain.len() + 13);
    for ordinal in members {
        host.clear();
        host.push_str(leader);
        if ordinal > 0 {
            // Writing to a String does not fail.
            let _ = write!(host, "-{ordinal}");
        }
        host.push('.');
        host.push_str(subdomain);
        for port in ports {
            for (list, parts) in
                [(&mut hosts, [&host, "", ""]), (&mut addresses, [&host, ":", port])]
            {
                if !list.is_empty() {
                    list.push(',');
                }
                list.extend(parts);
            }
        }
    }
    (hosts, addresses)
}
