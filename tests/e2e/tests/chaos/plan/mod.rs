//! What happens in a run, drawn by lots from a seed: the same for the same seed.
//!
//! | module | owns |
//! |---|---|
//! | `edit` | what users change |
//! | `fault` | what fails |

mod edit;
mod fault;

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use lws_e2e::Fixture;

pub(crate) use edit::{Cascade, Edit};
pub(crate) use fault::{Controller, Failing, Fault, Harm, Trouble, Victim};

/// How often everything comes to rest in a run.
const ROUNDS: u8 = 2;
/// Steps from one rest to the next.
const STEPS: usize = 12;
/// The longest pause before a step, in ms; the shortest is a tenth of it.
const PAUSE: u64 = 1200;
/// How long nothing else happens to the rollouts that begin a round: so that some groups go while nothing is wrong.
const OPENING: Duration = Duration::from_secs(3);

/// The names of the sets.
const NAMES: [&str; 3] = ["one", "two", "three"];

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How each set begins.
    pub(crate) sets: Vec<Beginning>,
    pub(crate) steps: Vec<Step>,
}

/// A set as it is created: the fixture with these changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Beginning {
    pub(crate) name: &'static str,
    pub(crate) edits: Vec<Edit>,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// Its place in the whole plan, which it keeps when others are left out.
    pub(crate) number: usize,
    /// The pause before it.
    pub(crate) after: Duration,
    pub(crate) action: Action,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// A user changes a set.
    Change(&'static str, Edit),
    /// A user deletes a set and creates it anew as it was.
    Recreate(&'static str, Cascade),
    /// A pod fails.
    Harm(Victim, Harm),
    /// Something else fails.
    Fail(Fault),
    /// Faults end, and everything comes to rest.
    Rest,
}

impl Plan {
    /// Draws a run.
    pub(crate) fn of(seed: u64) -> Self {
        let mut lots = Rng::with_seed(seed);
        let count = lots.usize(2..=NAMES.len());
        let names: Vec<_> = NAMES.into_iter().take(count).collect();
        let sets = names
            .iter()
            .map(|name| Beginning { name, edits: Edit::beginning(&mut lots) })
            .collect();
        let mut steps = vec![(Duration::ZERO, Action::Rest)];
        for round in 0..ROUNDS {
            let opening = |name: &&'static str| Action::Change(name, Edit::opening(round));
            steps.extend(names.iter().map(|name| (Duration::ZERO, opening(name))));
            steps.push((OPENING, Action::draw(&names, &mut lots)));
            steps.extend((1..STEPS).map(|_| {
                let pause = Duration::from_millis(lots.u64(PAUSE / 10..=PAUSE));
                (pause, Action::draw(&names, &mut lots))
            }));
            steps.push((Duration::ZERO, Action::Rest));
        }
        let step = |(number, (after, action))| Step { number, after, action };
        Self { seed, sets, steps: steps.into_iter().enumerate().map(step).collect() }
    }

    /// The same without the steps of these numbers. The last rest stays: without it nothing would be judged.
    pub(crate) fn without(mut self, numbers: &[usize]) -> Self {
        let last = self.steps.last().map(|step| step.number);
        self.steps.retain(|step| Some(step.number) == last || !numbers.contains(&step.number));
        self
    }

    /// Whether no step was left out.
    pub(crate) fn is_whole(&self) -> bool {
        self.steps.last().is_none_or(|it| it.number + 1 == self.steps.len())
    }
}

impl Beginning {
    /// The set to create. Its pods end soon, and leave nodes that are lost soon.
    pub(crate) fn fixture(&self) -> Fixture {
        let fixture = Fixture::named(self.name).short_lived();
        fixture.changed(|set| self.edits.iter().for_each(|edit| edit.apply(set)))
    }
}

impl Action {
    fn draw(names: &[&'static str], lots: &mut Rng) -> Self {
        let Some(name) = lots.choice(names).copied() else { return Self::Rest };
        match lots.u8(0..100) {
            0..40 => Self::Change(name, Edit::draw(lots)),
            40..45 => Self::Recreate(name, Cascade::draw(lots)),
            45..70 => Self::Harm(Victim::draw(name, lots), Harm::draw(lots)),
            _ => Self::Fail(Fault::draw(lots)),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Beginning { name, edits } in &self.sets {
            let edits: Vec<_> = edits.iter().map(ToString::to_string).collect();
            writeln!(out, "set {name}: {}", edits.join(", "))?;
        }
        for step in &self.steps {
            writeln!(out, "{step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:>3}  +{:.1} s  {}", self.number, self.after.as_secs_f64(), self.action)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(set, edit) => write!(out, "change {set}: {edit}"),
            Self::Recreate(set, cascade) => write!(out, "delete {set} ({cascade}) and create it"),
            Self::Harm(victim, harm) => write!(out, "{harm} {victim}"),
            Self::Fail(fault) => write!(out, "{fault}"),
            Self::Rest => write!(out, "rest"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_run_and_another_one_another() {
        assert_eq!(Plan::of(7), Plan::of(7));
        assert_ne!(Plan::of(7).steps, Plan::of(8).steps);
    }

    #[test]
    fn the_fixed_seeds_have_every_kind_of_step() {
        let plans = crate::SEEDS.map(Plan::of);
        let text = |step: &Step| {
            let text = step.action.to_string();
            let words = text.split(|it: char| !it.is_alphabetic() && it != '-');
            words.filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
        };
        let all: BTreeSet<_> = plans.iter().flat_map(|plan| &plan.steps).map(text).collect();
        for part in [
            "replicas",
            "pods a group",
            "leader image",
            "worker image",
            "max unavailable",
            "partition",
            "restart policy",
            "startup policy",
            "subdomain policy",
            "background",
            "foreground",
            "orphan",
            "restart a container of",
            "delete pod",
            "delete at once pod",
            "lose the node of",
            "kill the leading controller",
            "kill the other controller",
            "freeze the leading controller",
            "freeze the other controller",
            "kill webhook",
            "kill the API server",
            "freeze etcd",
            "cut the watches",
            "are held back",
            "network",
            "late",
            "fails conflict",
            "fails refused",
            "fails done but answered with an error",
            "fails done but never answered",
            "remove the certificate",
            "rest",
        ] {
            assert!(all.iter().any(|it| it.contains(part)), "{part}: {all:#?}");
        }
    }

    #[test]
    fn steps_can_be_left_out_and_the_others_keep_their_numbers() {
        let all = Plan::of(1);
        let last = all.steps.len() - 1;
        let plan = all.without(&[0, 1, 3, last]);
        let numbers: Vec<_> = plan.steps.iter().map(|step| step.number).collect();
        assert_eq!(numbers[..3], [2, 4, 5]);
        assert_eq!(numbers.last(), Some(&last), "it judges what happened");
        assert!(!plan.is_whole() && Plan::of(1).without(&[]).is_whole());
        assert!(Plan::of(1).without(&[last]).is_whole(), "that one stays");
    }

    /// So that the budget of each has something to judge.
    #[test]
    fn every_set_is_rolled_out_from_a_rest_and_in_peace() {
        for plan in (0..200).map(Plan::of) {
            let mut steps = plan.steps.iter();
            assert_eq!(steps.next().unwrap().action, Action::Rest, "{plan}");
            for (set, step) in plan.sets.iter().zip(&mut steps) {
                assert_eq!(step.action, Action::Change(set.name, Edit::opening(0)), "{plan}");
                assert_eq!(step.after, Duration::ZERO, "{plan}");
            }
            assert_eq!(steps.next().unwrap().after, OPENING, "{plan}");
        }
    }

    #[test]
    fn each_time_other_writes_fail() {
        let seeds = |plan: Plan| -> BTreeSet<u64> {
            let failing = |step: &Step| match step.action {
                Action::Fail(Fault::Trouble(Trouble::Failing(_, seed), _)) => Some(seed),
                _ => None,
            };
            plan.steps.iter().filter_map(failing).collect()
        };
        let all: Vec<_> = (0..200).map(Plan::of).map(seeds).collect();
        let count: usize = all.iter().map(BTreeSet::len).sum();
        assert!(count > 100, "{count}");
        assert_eq!(all.iter().flatten().collect::<BTreeSet<_>>().len(), count);
    }

    #[test]
    fn a_plan_can_be_read() {
        let text = Plan::of(1).to_string();
        assert_eq!(text.lines().count(), Plan::of(1).sets.len() + Plan::of(1).steps.len());
        assert!(text.lines().last().is_some_and(|it| it.ends_with("rest")), "{text}");
    }
}
