//! How many pods there may be: the most that were ready at once, and who had the processors while they became so.

use super::life::{Life, Step};
use super::percent;

/// The limit that was found, in words.
pub(super) fn limit(lives: &[Life]) -> String {
    let became_ready = |it: &Step| matches!(it, Step::Create | Step::ScaleUp);
    let parts = lives.iter().flat_map(|life| &life.parts).filter(|it| became_ready(&it.step));
    let Some(most) = parts.max_by_key(|it| it.pods) else {
        return "No pods became ready.\n".to_owned();
    };
    let holder = most.spent.shares.first();
    let holder = holder.map(|(name, share)| {
        format!(
            " While they became so, {name} had the largest share of the processors: {}.",
            percent(*share)
        )
    });
    let failed = |life: &&Life| life.part(Step::Create).is_none();
    let too_many = lives.iter().filter(failed).map(|life| life.shape.pods());
    let beyond = match too_many.filter(|pods| *pods > most.pods).min() {
        Some(pods) => format!("{pods} pods were tried without success."),
        None => "More were not tried.".to_owned(),
    };
    format!(
        "The most pods that were ready at once: {}.{} {beyond}\n",
        most.pods,
        holder.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::anyhow;

    use super::super::life::Part;
    use super::*;
    use crate::controller::Shape;
    use crate::controller::world::{Requests, Spent};
    use crate::process::Memory;

    fn life(groups: i32, steps: &[(Step, usize, &'static str)]) -> Life {
        let part = |&(step, pods, holder): &_| Part {
            step,
            groups: 1.0,
            pods,
            took: Duration::ZERO,
            floor: None,
            spent: Spent {
                processor_time: Duration::ZERO,
                memory: Memory { resident: 0, peak: 0 },
                requests: Requests::default(),
                shares: vec![(holder, 0.514), ("other", 0.2)],
            },
        };
        let parts: Vec<_> = steps.iter().map(part).collect();
        let failure = parts.is_empty().then(|| anyhow!("too many"));
        Life { shape: Shape { groups, ..Shape::default() }, parts, failure }
    }

    #[test]
    fn the_most_pods_and_what_they_waited_for() {
        let small =
            life(1, &[(Step::Create, 4, "a"), (Step::ScaleUp, 8, "b"), (Step::Delete, 0, "c")]);
        let large = life(5, &[(Step::Create, 20, "d"), (Step::Update, 20, "e")]);
        let text = "The most pods that were ready at once: 8. While they became so, b had the largest share of the processors: 51 %. More were not tried.\n";
        assert_eq!(limit(std::slice::from_ref(&small)), text);
        let text = "The most pods that were ready at once: 20. While they became so, d had the largest share of the processors: 51 %. 36 pods were tried without success.\n";
        assert_eq!(limit(&[small, large, life(9, &[]), life(11, &[])]), text);
        assert_eq!(limit(&[life(9, &[])]), "No pods became ready.\n");
    }
}
