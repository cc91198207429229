//! The life of some sets, and of the same objects without a controller.

use std::fmt::{self, Display};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::super::floor::Model;
use super::super::world::{Options, Spent, World};
use super::super::{Shape, sets};

/// Pods that a simulated node has room for.
const PODS_OF_A_NODE: usize = 256;

/// How long sets are left alone.
const REST: Duration = Duration::from_secs(10);

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
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) shape: Shape,
    pub(super) parts: Vec<Part>,
}

impl Life {
    /// Measures sets of this shape, on a cluster of their own with room for them.
    pub(super) async fn measure(shape: Shape) -> Result<Self> {
        let added = (shape.groups + 1) / 2;
        let more = shape.groups + added;
        let pods = shape.sets * usize::try_from(more * shape.size)?;
        let nodes = (pods / PODS_OF_A_NODE + pods / PODS_OF_A_NODE / 4).max(20);
        let mut world = World::start(Options { nodes, gate: true }).await?;
        let mut life = Self { shape, parts: Vec::new() };

        let namespace = world.namespace().await?;
        let begin = world.begin().await?;
        let took = sets::create(&namespace, shape).await?;
        life.push(Step::Create, shape.groups, took, world.end(&begin).await?);
        let mut model = Model::of_created(&namespace, shape).await?;

        let begin = world.go_on()?;
        sleep(REST).await;
        life.push(Step::Settle, shape.groups, REST, world.end(&begin).await?);

        let begin = world.go_on()?;
        let took = sets::roll(&namespace, shape).await?;
        life.push(Step::Update, shape.groups, took, world.end(&begin).await?);

        let begin = world.go_on()?;
        let took = sets::scale(&namespace, shape, more).await?;
        life.push(Step::ScaleUp, added, took, world.end(&begin).await?);
        model.see_updated(&namespace).await?;

        let begin = world.go_on()?;
        let took = sets::scale(&namespace, shape, shape.groups).await?;
        life.push(Step::ScaleDown, added, took, world.end(&begin).await?);

        let begin = world.go_on()?;
        let took = sets::delete(&namespace).await?;
        life.push(Step::Delete, shape.groups, took, world.end(&begin).await?);

        world.pause().await?;
        let namespace = world.namespace().await?;
        life.floor(Step::Create, model.create(&namespace).await?);
        life.floor(Step::Update, model.roll(&namespace).await?);
        life.floor(Step::ScaleUp, model.scale(&namespace, shape.groups, more).await?);
        life.floor(Step::ScaleDown, model.scale(&namespace, more, shape.groups).await?);
        life.floor(Step::Delete, sets::remove(&namespace).await?);
        world.stop().await?;
        Ok(life)
    }

    /// `groups` of each set.
    fn push(&mut self, step: Step, groups: i32, took: Duration, spent: Spent) {
        let groups = Shape { groups, ..self.shape }.groups();
        self.parts.push(Part { step, groups, took, floor: None, spent });
    }

    fn floor(&mut self, step: Step, took: Duration) {
        let parts = self.parts.iter_mut().filter(|it| it.step == step);
        parts.for_each(|it| it.floor = Some(took));
    }

    /// One of its steps.
    pub(super) fn part(&self, step: Step) -> Result<&Part> {
        let part = self.parts.iter().find(|it| it.step == step);
        part.with_context(|| format!("\"{step}\" was not measured"))
    }

    /// The most memory that the controller had at any time.
    pub(super) fn peak_mebibytes(&self) -> f64 {
        self.parts.iter().map(|it| it.spent.memory.peak_mebibytes()).fold(0.0, f64::max)
    }
}
