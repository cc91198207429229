//! The life of some sets, and of the same objects without a controller.

use std::fmt::{self, Display};
use std::time::Duration;

use anyhow::{Error, Result};

use super::super::floor::Model;
use super::super::world::{Options, REST, Spent, World};
use super::super::{Shape, sets};

/// Pods that a simulated node has room for.
const PODS_OF_A_NODE: usize = 256;

/// What happens to sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Create,
    Settle,
    Update,
    ScaleUp,
    ScaleDown,
    Delete,
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Settle => "left alone",
            Self::Update => "update",
            Self::ScaleUp => "add half as many groups",
            Self::ScaleDown => "remove them",
            Self::Delete => "delete",
        })
    }
}

/// One step of it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) step: Step,
    /// How many groups were created, updated, added or removed; all for the others.
    pub(super) groups: f64,
    /// How many pods there were in the end, all of them ready.
    pub(super) pods: usize,
    pub(super) took: Duration,
    /// How long the same takes without a controller.
    pub(super) floor: Option<Duration>,
    pub(super) spent: Spent,
}

impl Part {
    /// Processor time for each of the groups.
    pub(super) fn processor_milliseconds_a_group(&self) -> f64 {
        self.spent.processor_time.as_secs_f64() * 1e3 / self.groups
    }
}

/// What was measured of some sets.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) shape: Shape,
    /// What was done to the end, in order.
    pub(super) parts: Vec<Part>,
    /// Why there are no more of them, and why floors are missing.
    pub(super) failure: Option<Error>,
}

impl Life {
    /// Measures sets of this shape, on a cluster of their own with room for them. `more`: how many groups each set gets, and
    /// loses again.
    pub(super) async fn measure(shape: Shape, more: i32) -> Self {
        let mut life = Self { shape, parts: Vec::new(), failure: None };
        life.failure = life.run(more).await.err();
        life
    }

    async fn run(&mut self, more: i32) -> Result<()> {
        let shape = self.shape;
        let most = Shape { groups: shape.groups + more, ..shape };
        let nodes = (most.pods() / PODS_OF_A_NODE).max(16);
        let mut world = World::start(Options { nodes: nodes + nodes / 4, gate: true }).await?;

        let namespace = world.namespace().await?;
        let begin = world.begin().await?;
        let took = sets::create(&namespace, shape).await?;
        self.push(Step::Create, shape.groups, took, world.end(&begin).await?);
        let mut model = Model::of_created(&namespace, shape).await?;

        let begin = world.go_on()?;
        self.push(Step::Settle, shape.groups, REST, world.rest(&begin).await?);

        let begin = world.go_on()?;
        let took = sets::roll(&namespace, shape).await?;
        self.push(Step::Update, shape.groups, took, world.end(&begin).await?);

        if more > 0 {
            let begin = world.go_on()?;
            let took = sets::scale(&namespace, shape, most.groups).await?;
            self.push(Step::ScaleUp, more, took, world.end(&begin).await?);
        }
        model.see_updated(&namespace).await?;
        if more > 0 {
            let begin = world.go_on()?;
            let took = sets::scale(&namespace, shape, shape.groups).await?;
            self.push(Step::ScaleDown, more, took, world.end(&begin).await?);
        }

        let begin = world.go_on()?;
        let took = sets::delete(&namespace).await?;
        self.push(Step::Delete, shape.groups, took, world.end(&begin).await?);

        world.pause().await?;
        let namespace = world.namespace().await?;
        self.floor(Step::Create, model.create(&namespace).await?);
        self.floor(Step::Update, model.roll(&namespace).await?);
        if more > 0 {
            let (few, many) = (shape.groups, most.groups);
            self.floor(Step::ScaleUp, model.scale(&namespace, few, many).await?);
            self.floor(Step::ScaleDown, model.scale(&namespace, many, few).await?);
        }
        self.floor(Step::Delete, sets::remove(&namespace).await?);
        world.stop().await
    }

    /// `groups` of each set.
    fn push(&mut self, step: Step, groups: i32, took: Duration, spent: Spent) {
        let concerned = Shape { groups, ..self.shape };
        let pods = match step {
            Step::Create | Step::Settle | Step::Update | Step::ScaleDown => self.shape.pods(),
            Step::ScaleUp => self.shape.pods() + concerned.pods(),
            Step::Delete => 0,
        };
        let groups = concerned.groups();
        self.parts.push(Part { step, groups, pods, took, floor: None, spent });
    }

    fn floor(&mut self, step: Step, took: Duration) {
        let parts = self.parts.iter_mut().filter(|it| it.step == step);
        parts.for_each(|it| it.floor = Some(took));
    }

    /// One of its steps, if that was measured.
    pub(super) fn part(&self, step: Step) -> Option<&Part> {
        self.parts.iter().find(|it| it.step == step)
    }

    /// The most memory that the controller had at any time.
    pub(super) fn peak_mebibytes(&self) -> f64 {
        self.parts.iter().map(|it| it.spent.memory.peak_mebibytes()).fold(0.0, f64::max)
    }
}
