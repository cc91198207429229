//! What fails.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::history::{Hidden, Kind};

/// How many replicas of the webhook there are.
pub(crate) const WEBHOOKS: usize = 2;

/// A pod, as far as it can be named before the run: of the groups and members that are there it is the one of this
/// number, counted around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Victim {
    pub(crate) set: &'static str,
    pub(crate) group: usize,
    pub(crate) member: usize,
}

/// What happens to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    RestartContainer,
    Delete,
    /// Without a grace period.
    DeleteAtOnce,
    /// Its node is silent for so long.
    LoseNode(Duration),
}

/// Which controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    /// The one that leads when it happens.
    Leading,
    Other,
}

/// What fails beside pods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    KillController(Controller),
    FreezeController(Controller, Duration),
    KillWebhook(usize),
    /// It is started again at once.
    KillApiServer,
    FreezeEtcd(Duration),
    /// For the controller that leads, for so long.
    Trouble(Trouble, Duration),
    /// The Secret loses its certificate.
    LoseCertificate,
}

/// What is wrong between a controller and the API server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Trouble {
    /// The watches of a resource are cut; those that begin later are not.
    WatchesCut(&'static str),
    /// The events of a resource are held back.
    WatchesHeld(&'static str),
    NetworkCut,
    /// Requests are late by so much.
    Late(Duration),
    /// Some writes fail in this way; which ones is drawn from this seed.
    Failing(Failing, u64),
}

/// How writes fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    Conflict,
    Refused,
    /// Done, but answered with an error.
    DoneNotTold,
    /// Done, and the connection closed.
    DoneAndHungUp,
}

const FAILING: [Failing; 4] =
    [Failing::Conflict, Failing::Refused, Failing::DoneNotTold, Failing::DoneAndHungUp];

/// What the controller watches.
const RESOURCES: [(&str, Kind); 4] = [
    ("pods", Kind::Pod),
    ("statefulsets", Kind::StatefulSet),
    ("leaderworkersets", Kind::Set),
    ("controllerrevisions", Kind::Revision),
];

impl Victim {
    pub(super) fn draw(set: &'static str, lots: &mut Rng) -> Self {
        Self { set, group: lots.usize(0..5), member: lots.usize(0..4) }
    }
}

impl Harm {
    pub(super) fn draw(lots: &mut Rng) -> Self {
        match lots.u8(0..10) {
            0..4 => Self::RestartContainer,
            4..6 => Self::Delete,
            6..9 => Self::DeleteAtOnce,
            _ => Self::LoseNode(duration(lots, 6..=9)),
        }
    }
}

impl Fault {
    pub(super) fn draw(lots: &mut Rng) -> Self {
        let controller = if lots.u8(0..3) == 0 { Controller::Other } else { Controller::Leading };
        match lots.u8(0..20) {
            0..3 => Self::KillController(controller),
            3..5 => Self::FreezeController(controller, duration(lots, 1..=10)),
            5..8 => Self::KillWebhook(lots.usize(0..WEBHOOKS)),
            8 => Self::KillApiServer,
            9..11 => Self::FreezeEtcd(duration(lots, 1..=4)),
            11 => Self::LoseCertificate,
            _ => Self::Trouble(Trouble::draw(lots), duration(lots, 1..=5)),
        }
    }

    /// What it keeps from the controller that leads; `None` where it is nothing to the controllers.
    pub(crate) fn hides(self) -> Option<Hidden> {
        match self {
            // The next leader lists everything anew before it decides.
            Self::KillController(Controller::Leading) => Some(Hidden::Nothing),
            Self::FreezeController(Controller::Leading, _)
            | Self::KillApiServer
            | Self::FreezeEtcd(_) => Some(Hidden::Everything),
            Self::Trouble(trouble, _) => Some(trouble.hides()),
            Self::KillController(Controller::Other)
            | Self::FreezeController(Controller::Other, _)
            | Self::KillWebhook(_)
            | Self::LoseCertificate => None,
        }
    }
}

impl Trouble {
    fn draw(lots: &mut Rng) -> Self {
        let (resource, _) = lots.choice(RESOURCES).unwrap_or(RESOURCES[0]);
        match lots.u8(0..8) {
            0 | 1 => Self::WatchesCut(resource),
            2 | 3 => Self::WatchesHeld(resource),
            4 => Self::NetworkCut,
            5 => Self::Late(Duration::from_millis(lots.u64(50..=500))),
            _ => {
                let failing = lots.choice(FAILING).unwrap_or(FAILING[0]);
                // From a copy: what follows in the plan of a seed that is known stays what it is.
                Self::Failing(failing, lots.clone().u64(..))
            }
        }
    }

    fn hides(self) -> Hidden {
        match self {
            Self::WatchesCut(resource) | Self::WatchesHeld(resource) => {
                let kind = RESOURCES.into_iter().find(|(name, _)| *name == resource);
                kind.map_or(Hidden::Everything, |(_, kind)| Hidden::Of(kind))
            }
            Self::NetworkCut => Hidden::Everything,
            // They are late by less than news may be; and what fails is decided anew.
            Self::Late(_) | Self::Failing(..) => Hidden::Nothing,
        }
    }
}

fn duration(lots: &mut Rng, seconds: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_secs(lots.u64(seconds))
}

impl fmt::Display for Victim {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "pod {} of group {} of {}", self.member, self.group, self.set)
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RestartContainer => out.write_str("restart a container of"),
            Self::Delete => out.write_str("delete"),
            Self::DeleteAtOnce => out.write_str("delete at once"),
            Self::LoseNode(time) => write!(out, "for {} s, lose the node of", time.as_secs()),
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Leading => "the leading controller",
            Self::Other => "the other controller",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillController(controller) => write!(out, "kill {controller}"),
            Self::FreezeController(controller, time) => {
                write!(out, "for {} s, freeze {controller}", time.as_secs())
            }
            Self::KillWebhook(number) => write!(out, "kill webhook {number}"),
            Self::KillApiServer => out.write_str("kill the API server"),
            Self::FreezeEtcd(time) => write!(out, "for {} s, freeze etcd", time.as_secs()),
            Self::Trouble(Trouble::WatchesCut(resource), _) => {
                write!(out, "cut the watches of {resource}")
            }
            Self::Trouble(trouble, time) => write!(out, "for {} s, {trouble}", time.as_secs()),
            Self::LoseCertificate => out.write_str("remove the certificate from its Secret"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WatchesCut(resource) => write!(out, "the watches of {resource} are cut"),
            Self::WatchesHeld(resource) => write!(out, "the watches of {resource} are held back"),
            Self::NetworkCut => out.write_str("the network of the leader is cut"),
            Self::Late(time) => write!(out, "requests are {} ms late", time.as_millis()),
            Self::Failing(failing, _) => write!(out, "every third write fails: {failing}"),
        }
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::DoneNotTold => "done, but answered with an error",
            Self::DoneAndHungUp => "done, but never answered",
        })
    }
}
