//! Scenarios of speed: creation and rollouts, beside the floor.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::floor::Model;
use super::world::{Options, Spent, World};
use super::{Shape, sets, tell, tell_requests};
use crate::report::{Figure, count};

/// How much longer than the floor anything may take.
const FLOOR_TARGET: f64 = 1.2;

/// The part of the existing implementation's processor time that may be needed.
const PROCESSOR_PART: f64 = 0.2;

/// MiB that creating 100 groups may take.
const MEMORY_TARGET: f64 = 24.0;

/// How long pods take to become ready in the slow rollouts.
const READINESS: Duration = Duration::from_secs(1);

/// How much more processor time a group may need in a larger set: measurements differ by that much.
const GROWTH_TARGET: f64 = 1.1;

/// Something that was measured once, and its floor.
struct Run {
    floor: Duration,
    took: Duration,
    spent: Spent,
}

impl Run {
    fn ratio(&self) -> f64 {
        self.took.as_secs_f64() / self.floor.as_secs_f64()
    }
}

/// What a scenario shall need, and what the existing implementation was measured to need.
#[derive(Default)]
struct Expected {
    requests: f64,
    seconds: Option<f64>,
    memory: Option<f64>,
    existing: Existing,
}

/// Figures of the existing implementation; empty where none were taken.
#[derive(Default)]
struct Existing {
    seconds: &'static str,
    processor: Option<f64>,
    memory: &'static str,
    requests: &'static str,
}

/// The processor time of creation, for different numbers of groups.
#[derive(Debug, Default)]
pub(super) struct Growth(Vec<(i32, Duration)>);

impl Growth {
    /// Tells what a group costs in sets of different sizes, if there were several.
    pub(super) fn tell(&self) -> Result<Vec<Figure>> {
        let each = |(groups, time): &(i32, Duration)| time.as_secs_f64() * 1e3 / f64::from(*groups);
        let [first, others @ ..] = self.0.as_slice() else { return Ok(Vec::new()) };
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let name = |groups: i32| format!("CPU for each of {groups} groups, ms");
        let mut figures = vec![Figure::plain(name(first.0), each(first))];
        let target = each(first) * GROWTH_TARGET;
        figures.extend(others.iter().map(|it| Figure::at_most(name(it.0), each(it), target)));
        tell("Growth", figures)
    }
}

/// One set of so many groups is created.
pub(super) async fn create(groups: i32, repeat: usize, growth: &mut Growth) -> Result<Vec<Figure>> {
    let shape = Shape { groups, ..Shape::default() };
    // Four pods of a group, 256 on a node.
    let nodes = usize::try_from(groups / 50)?.max(20);
    let mut world = World::start(Options { nodes, gate: true }).await?;
    let model = Model::of_creation(&world.namespace().await?, shape).await?;
    let mut runs = Vec::new();
    for _ in 0..repeat {
        let namespace = world.namespace().await?;
        world.pause().await?;
        let floor = model.create(&namespace).await?;
        sets::remove(&namespace).await?;
        let begin = world.begin().await?;
        let took = sets::create(&namespace, shape).await?;
        runs.push(Run { floor, took, spent: world.end(&begin).await? });
        sets::remove(&namespace).await?;
    }
    world.stop().await?;
    let run = median(runs)?;
    growth.0.push((groups, run.spent.processor_time));
    let requests = creation_requests(shape);
    let expected = match groups {
        100 => Expected {
            requests,
            memory: Some(MEMORY_TARGET),
            existing: Existing {
                seconds: "6.1, floor 4.3",
                processor: Some(1.87),
                memory: "80",
                requests: "320",
            },
            ..Expected::default()
        },
        _ => Expected { requests, ..Expected::default() },
    };
    report(&format!("Create 1 set of {groups} groups of 4"), shape, &run, &expected)
}

/// 50 sets of 2 groups are created, then all are updated.
pub(super) async fn many_sets(repeat: usize) -> Result<Vec<Figure>> {
    let shape = Shape { sets: 50, groups: 2, ..Shape::default() };
    let mut world = World::start(Options { nodes: 20, gate: true }).await?;
    let model = Model::of_rollout(&world.namespace().await?, shape).await?;
    let (mut creations, mut rollouts) = (Vec::new(), Vec::new());
    for _ in 0..repeat {
        let namespace = world.namespace().await?;
        world.pause().await?;
        let create_floor = model.create(&namespace).await?;
        let roll_floor = model.roll(&namespace).await?;
        sets::remove(&namespace).await?;
        let begin = world.begin().await?;
        let took = sets::create(&namespace, shape).await?;
        creations.push(Run { floor: create_floor, took, spent: world.end(&begin).await? });
        let begin = world.begin().await?;
        let took = sets::roll(&namespace, shape).await?;
        rollouts.push(Run { floor: roll_floor, took, spent: world.end(&begin).await? });
        sets::remove(&namespace).await?;
    }
    world.stop().await?;
    let created = Expected {
        requests: creation_requests(shape),
        existing: Existing { seconds: "7.2", processor: Some(2.0), memory: "72", requests: "741" },
        ..Expected::default()
    };
    let updated = Expected {
        requests: rollout_requests(shape),
        existing: Existing {
            seconds: "13.3",
            processor: Some(3.3),
            requests: "1071",
            ..Existing::default()
        },
        ..Expected::default()
    };
    let mut figures =
        report("Create 50 sets of 2 groups of 4", shape, &median(creations)?, &created)?;
    figures.extend(report("Update these 50 sets", shape, &median(rollouts)?, &updated)?);
    Ok(figures)
}

/// A set of 10 groups whose pods take a second to become ready is updated, with different budgets. `gate`: whether the
/// `StatefulSet` controller can replace several pods at once.
pub(super) async fn roll_slowly(gate: bool) -> Result<Vec<Figure>> {
    let mut world = World::start(Options { nodes: 20, gate }).await?;
    let mut figures = Vec::new();
    for (at_once, seconds, existing) in
        [(1, None, ["11", "11"]), (5, Some(3.0), ["3.3", "11"]), (10, Some(1.9), ["2.1", "11"])]
    {
        let shape = Shape { groups: 10, at_once, ..Shape::default() };
        let namespace = world.namespace().await?;
        let model = Model::of_rollout(&namespace, shape).await?;
        world.pause().await?;
        model.create(&namespace).await?;
        world.set_ready_delay(READINESS)?;
        let floor = model.roll(&namespace).await?;
        world.set_ready_delay(Duration::ZERO)?;
        sets::remove(&namespace).await?;
        world.resume().await?;
        sets::create(&namespace, shape).await?;
        world.set_ready_delay(READINESS)?;
        let begin = world.begin().await?;
        let took = sets::roll(&namespace, shape).await?;
        let run = Run { floor, took, spent: world.end(&begin).await? };
        world.set_ready_delay(Duration::ZERO)?;
        sets::remove(&namespace).await?;
        let [with_gate, without] = existing;
        let expected = Expected {
            requests: rollout_requests(shape),
            seconds,
            existing: Existing {
                seconds: if gate { with_gate } else { without },
                processor: Some(0.4),
                requests: "100–175",
                ..Existing::default()
            },
            ..Expected::default()
        };
        let gate = if gate { "on" } else { "off" };
        let title = format!(
            "Update 10 groups, 1 s until ready, maxUnavailable {at_once}, MaxUnavailableStatefulSet {gate}"
        );
        figures.extend(report(&title, shape, &run, &expected)?);
    }
    world.stop().await?;
    Ok(figures)
}

/// The most requests for a creation: three for each group and eight for each set.
fn creation_requests(shape: Shape) -> f64 {
    3.0 * shape.groups() + 8.0 * count(shape.sets)
}

/// The most requests for a rollout: seven for each group and twelve for each set.
fn rollout_requests(shape: Shape) -> f64 {
    7.0 * shape.groups() + 12.0 * count(shape.sets)
}

/// The run whose ratio to its floor is the middle one.
fn median(mut runs: Vec<Run>) -> Result<Run> {
    runs.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    let middle = runs.len().saturating_sub(1) / 2;
    runs.into_iter().nth(middle).context("nothing was measured")
}

fn report(title: &str, shape: Shape, run: &Run, expected: &Expected) -> Result<Vec<Figure>> {
    let Run { floor, took, spent } = run;
    let existing = &expected.existing;
    let at_most = |name: &str, value, target: Option<f64>| match target {
        Some(target) => Figure::at_most(name, value, target),
        None => Figure::plain(name, value),
    };
    let processor = existing.processor;
    let figures = vec![
        at_most("time, s", took.as_secs_f64(), expected.seconds).existing(existing.seconds),
        Figure::plain("floor, s", floor.as_secs_f64()),
        Figure::at_most("time / floor", run.ratio(), FLOOR_TARGET),
        at_most(
            "CPU, s",
            spent.processor_time.as_secs_f64(),
            processor.map(|it| it * PROCESSOR_PART),
        )
        .existing(&processor.map(|it| it.to_string()).unwrap_or_default()),
        at_most("peak memory, MiB", spent.memory.peak_mebibytes(), expected.memory)
            .existing(existing.memory),
        Figure::at_most("requests", count(spent.requests.total()), expected.requests)
            .existing(existing.requests),
    ];
    let figures = tell(title, figures)?;
    tell_requests(&spent.requests, shape.groups())?;
    Ok(figures)
}
