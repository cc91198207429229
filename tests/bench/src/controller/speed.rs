//! Scenarios of speed: creation and rollouts, beside the floor.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::floor::Model;
use super::world::{Options, Spent, World};
use super::{Section, Shape, sets};
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

    fn processor_seconds(&self) -> f64 {
        self.spent.processor_time.as_secs_f64()
    }

    fn requests(&self) -> f64 {
        count(self.spent.requests.total())
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

/// The processor time of creation in seconds, for different numbers of groups.
#[derive(Debug, Default)]
pub(super) struct Growth(Vec<(i32, f64)>);

impl Growth {
    /// Tells what a group costs in sets of different sizes, if there were several.
    pub(super) fn tell(&self) -> Result<Section> {
        let each = |(groups, time): &(i32, f64)| time * 1e3 / f64::from(*groups);
        let [first, others @ ..] = self.0.as_slice() else { return Ok(Section::default()) };
        if others.is_empty() {
            return Ok(Section::default());
        }
        let name = |groups: i32| format!("CPU for each of {groups} groups, ms");
        let mut figures = vec![Figure::plain(name(first.0), each(first))];
        let target = each(first) * GROWTH_TARGET;
        figures.extend(others.iter().map(|it| Figure::at_most(name(it.0), each(it), target)));
        Section::tell("Growth", figures)
    }
}

/// One set of so many groups is created.
pub(super) async fn create(groups: i32, repeat: usize, growth: &mut Growth) -> Result<Section> {
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
    growth.0.push((groups, median(&runs, Run::processor_seconds)?));
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
    report(&format!("Create 1 set of {groups} groups of 4"), shape, &runs, &expected)
}

/// 50 sets of 2 groups are created, then all are updated.
pub(super) async fn many_sets(repeat: usize) -> Result<Section> {
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
    let mut section = report("Create 50 sets of 2 groups of 4", shape, &creations, &created)?;
    section.append(report("Update these 50 sets", shape, &rollouts, &updated)?);
    Ok(section)
}

/// A set of 10 groups whose pods take a second to become ready is updated, with different budgets. `gate`: whether the
/// `StatefulSet` controller can replace several pods at once.
pub(super) async fn roll_slowly(gate: bool, repeat: usize) -> Result<Section> {
    let mut world = World::start(Options { nodes: 20, gate }).await?;
    let mut section = Section::default();
    for (at_once, seconds, [with_gate, without]) in
        [(1, None, ["11", "11"]), (5, Some(3.0), ["3.3", "11"]), (10, Some(1.9), ["2.1", "11"])]
    {
        let shape = Shape { groups: 10, at_once, ..Shape::default() };
        let model = Model::of_rollout(&world.namespace().await?, shape).await?;
        let mut runs = Vec::new();
        for _ in 0..repeat {
            runs.push(roll_slowly_once(&mut world, &model, shape).await?);
        }
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
        section.append(report(&title, shape, &runs, &expected)?);
    }
    world.stop().await?;
    Ok(section)
}

async fn roll_slowly_once(world: &mut World, model: &Model, shape: Shape) -> Result<Run> {
    let namespace = world.namespace().await?;
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
    Ok(run)
}

/// The most requests for a creation: three for each group and eight for each set.
fn creation_requests(shape: Shape) -> f64 {
    3.0 * shape.groups() + 8.0 * count(shape.sets)
}

/// The most requests for a rollout: seven for each group and twelve for each set.
fn rollout_requests(shape: Shape) -> f64 {
    7.0 * shape.groups() + 12.0 * count(shape.sets)
}

/// The median of one figure of some runs, which need not be that of the same run as another figure's; of an even number, the
/// lower one of the two in the middle.
fn median(runs: &[Run], figure: impl Fn(&Run) -> f64) -> Result<f64> {
    Ok(figure(middle(runs, &figure)?))
}

/// The run that has this median.
fn middle(runs: &[Run], figure: impl Fn(&Run) -> f64) -> Result<&Run> {
    let mut sorted: Vec<_> = runs.iter().collect();
    sorted.sort_by(|one, other| figure(one).total_cmp(&figure(other)));
    let middle = sorted.len().saturating_sub(1) / 2;
    sorted.get(middle).copied().context("nothing was measured")
}

fn report(title: &str, shape: Shape, runs: &[Run], expected: &Expected) -> Result<Section> {
    let existing = &expected.existing;
    let at_most = |name: &str, value, target: Option<f64>| match target {
        Some(target) => Figure::at_most(name, value, target),
        None => Figure::plain(name, value),
    };
    let median = |figure: fn(&Run) -> f64| median(runs, figure);
    let processor = existing.processor;
    let figures = vec![
        at_most("time, s", median(|it| it.took.as_secs_f64())?, expected.seconds)
            .existing(existing.seconds),
        Figure::plain("floor, s", median(|it| it.floor.as_secs_f64())?),
        Figure::at_most("time / floor", median(Run::ratio)?, FLOOR_TARGET),
        at_most("CPU, s", median(Run::processor_seconds)?, processor.map(|it| it * PROCESSOR_PART))
            .existing(&processor.map(|it| it.to_string()).unwrap_or_default()),
        at_most(
            "peak memory, MiB",
            median(|it| it.spent.memory.peak_mebibytes())?,
            expected.memory,
        )
        .existing(existing.memory),
        Figure::at_most("requests", median(Run::requests)?, expected.requests)
            .existing(existing.requests),
    ];
    let requests = &middle(runs, Run::requests)?.spent.requests;
    Section::tell(title, figures)?.and_requests(requests, shape.groups())
}

#[cfg(test)]
mod tests {
    use super::super::world::Requests;
    use super::*;
    use crate::process::Memory;
    use crate::report;

    fn run(took: u64, floor: u64, processor: u64) -> Run {
        let spent = Spent {
            processor_time: Duration::from_secs(processor),
            memory: Memory { resident: 1, peak: 1 },
            requests: Requests::default(),
            shares: Vec::new(),
        };
        let [took, floor] = [took, floor].map(Duration::from_secs);
        Run { floor, took, spent }
    }

    #[test]
    fn each_figure_has_a_median_of_its_own() {
        let runs = [run(10, 10, 3), run(30, 10, 1), run(20, 5, 2)];
        let median = |figure: fn(&Run) -> f64| report::number(median(&runs, figure).unwrap());
        assert_eq!(median(|it| it.took.as_secs_f64()), "20");
        assert_eq!(median(|it| it.floor.as_secs_f64()), "10");
        assert_eq!(median(Run::ratio), "3");
        assert_eq!(median(Run::processor_seconds), "2");
        assert!(super::median(&[], Run::ratio).is_err());
    }
}
