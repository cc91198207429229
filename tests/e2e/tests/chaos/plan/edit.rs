//! What users change.

use std::fmt;

use fastrand::Rng;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::PropagationPolicy;
use lws_api_types::LeaderWorkerSet;
use lws_api_types::set::{NetworkConfig, RestartPolicy, StartupPolicy, SubdomainPolicy};
use lws_e2e::set::{rolling_update, set_in_container, set_worker_image};

/// How many images there are: few, so that sets go back to former ones.
const IMAGES: u8 = 3;

/// A change of a set. All of them are valid, whatever came before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Edit {
    LeaderImage(u8),
    WorkerImage(u8),
    Replicas(i32),
    Size(i32),
    /// `maxUnavailable` and `maxSurge`.
    Rollout(IntOrString, IntOrString),
    Partition(i32),
    Restarts(RestartPolicy),
    Startup(StartupPolicy),
    Subdomains(SubdomainPolicy),
}

/// What becomes of the objects of a set that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cascade {
    Background,
    Foreground,
    Orphan,
}

impl Edit {
    /// What a set begins with.
    pub(super) fn beginning(lots: &mut Rng) -> Vec<Self> {
        vec![
            Self::Replicas(lots.i32(3..=5)),
            Self::Size(lots.i32(1..=3)),
            Self::rollout(lots),
            Self::Restarts(restarts(lots)),
            Self::Startup(startup(lots)),
        ]
    }

    pub(super) fn draw(lots: &mut Rng) -> Self {
        match lots.u8(0..100) {
            0..15 => Self::LeaderImage(lots.u8(0..IMAGES)),
            15..40 => Self::WorkerImage(lots.u8(0..IMAGES)),
            40..60 => Self::Replicas(lots.i32(0..=6)),
            60..67 => Self::Size(lots.i32(1..=4)),
            67..77 => Self::rollout(lots),
            77..85 => Self::Partition(lots.i32(0..=4)),
            85..92 => Self::Restarts(restarts(lots)),
            92..95 => Self::Startup(startup(lots)),
            _ => Self::Subdomains(if lots.bool() {
                SubdomainPolicy::Shared
            } else {
                SubdomainPolicy::UniquePerReplica
            }),
        }
    }

    /// A change of the template alone, to an image that is not drawn: the `round`th that begins so.
    pub(super) fn opening(round: u8) -> Self {
        Self::WorkerImage(IMAGES + round)
    }

    /// Budgets that bind: sets are mostly larger. Where none may be down, or a part of them, which may be none, too,
    /// there is a surge.
    fn rollout(lots: &mut Rng) -> Self {
        let part = |percent: u8| IntOrString::String(format!("{percent}%"));
        let (unavailable, surge) = match lots.u8(0..6) {
            0 | 1 => (IntOrString::Int(1), lots.i32(0..=1)),
            2 => (IntOrString::Int(2), lots.i32(0..=1)),
            3 => (IntOrString::Int(0), lots.i32(1..=2)),
            4 => (part(25), lots.i32(1..=2)),
            _ => (part(50), lots.i32(1..=2)),
        };
        Self::Rollout(unavailable, IntOrString::Int(surge))
    }

    /// Makes it.
    pub(crate) fn apply(&self, set: &mut LeaderWorkerSet) {
        let template = &mut set.spec.leader_worker_template;
        match self {
            Self::LeaderImage(image) => {
                if let Some(leader) = &mut template.leader_template {
                    set_in_container(leader, "image", &name(*image));
                }
            }
            Self::WorkerImage(image) => set_worker_image(set, &name(*image)),
            Self::Replicas(replicas) => set.spec.replicas = Some(*replicas),
            Self::Size(size) => template.size = Some(*size),
            Self::Rollout(unavailable, surge) => {
                let rollout = rolling_update(set);
                rollout.max_unavailable = Some(unavailable.clone());
                rollout.max_surge = Some(surge.clone());
            }
            Self::Partition(partition) => rolling_update(set).partition = Some(*partition),
            Self::Restarts(policy) => template.restart_policy = Some(*policy),
            Self::Startup(policy) => set.spec.startup_policy = Some(*policy),
            Self::Subdomains(policy) => {
                set.spec.network_config = Some(NetworkConfig { subdomain_policy: Some(*policy) });
            }
        }
    }
}

fn restarts(lots: &mut Rng) -> RestartPolicy {
    match lots.u8(0..6) {
        0 => RestartPolicy::None,
        1 | 2 => RestartPolicy::RecreateGroupAfterStart,
        _ => RestartPolicy::RecreateGroupOnPodRestart,
    }
}

fn startup(lots: &mut Rng) -> StartupPolicy {
    if lots.u8(0..4) == 0 { StartupPolicy::LeaderReady } else { StartupPolicy::LeaderCreated }
}

fn name(image: u8) -> String {
    format!("example.org/image:{image}")
}

impl Cascade {
    pub(super) fn draw(lots: &mut Rng) -> Self {
        match lots.u8(0..3) {
            0 => Self::Background,
            1 => Self::Foreground,
            _ => Self::Orphan,
        }
    }

    /// As the API server takes it.
    pub(crate) fn policy(self) -> PropagationPolicy {
        match self {
            Self::Background => PropagationPolicy::Background,
            Self::Foreground => PropagationPolicy::Foreground,
            Self::Orphan => PropagationPolicy::Orphan,
        }
    }
}

impl fmt::Display for Cascade {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Background => "background",
            Self::Foreground => "foreground",
            Self::Orphan => "orphan",
        })
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |it: &IntOrString| match it {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text.clone(),
        };
        match self {
            Self::LeaderImage(image) => write!(out, "leader image {image}"),
            Self::WorkerImage(image) => write!(out, "worker image {image}"),
            Self::Replicas(replicas) => write!(out, "{replicas} replicas"),
            Self::Size(size) => write!(out, "{size} pods a group"),
            Self::Rollout(unavailable, surge) => {
                write!(out, "max unavailable {}, max surge {}", number(unavailable), number(surge))
            }
            Self::Partition(partition) => write!(out, "partition {partition}"),
            Self::Restarts(policy) => write!(out, "restart policy {policy:?}"),
            Self::Startup(policy) => write!(out, "startup policy {policy:?}"),
            Self::Subdomains(policy) => write!(out, "subdomain policy {policy:?}"),
        }
    }
}
