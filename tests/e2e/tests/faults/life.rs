//! The life of a set: created, updated, scaled, one group recreated. Faults are in force all along.

use anyhow::Result;
use kube::api::DeleteParams;
use lws_e2e::witness::{Moment, Witness};
use lws_e2e::{DEADLINE, Fixture, Namespace, TestSet, set};
use lws_harness::proxy::Rule;
use lws_harness::wait;

use crate::{add, namespace};

/// A set that has lived, and what was seen of it.
pub(crate) struct Life {
    set: TestSet,
    witness: Witness,
    update: [Moment; 2],
}

impl Life {
    /// Lives through everything once; each part ends when the set is as it must be.
    pub(crate) async fn live(namespace: &Namespace) -> Result<Self> {
        let witness = Witness::start(namespace).await?;
        let set = namespace.create_set(&Fixture::default().replicas(3)).await?;
        set.created_leader_set().await?;
        set.done(3).await?;
        let begin = witness.now()?;
        set.change_workers("example.org/new").await?;
        set.done(3).await?;
        let update = [begin, witness.now()?];
        set.scale(4).await?;
        set.done(4).await?;

        let at_once = DeleteParams::default().grace_period(0);
        namespace.pods().delete(&set.worker(0, 1), &at_once).await?;
        let leaders = async || Ok::<_, anyhow::Error>(witness.leaders()?.get("0").copied());
        wait::until(DEADLINE, "group 0 is recreated", leaders, |it| *it == Some(3)).await?;
        set.done(4).await?;
        Ok(Self { set, witness, update })
    }

    /// Judges it once the faults are over: everything is there, once, and was replaced no more often than it had to
    /// be; nothing more is requested.
    pub(crate) async fn judge(self) -> Result<()> {
        let Self { set, witness, update } = self;
        let namespace = set.namespace();
        set.recorded(4, 2).await?;
        let mark = namespace.silence().await?;
        set::stays(async || namespace.ensure_silent_since(mark)).await?;
        set.done(4).await?;
        set.valid_services(1).await?;
        set.expect_revisions(1).await?;
        // Created, updated, and one recreated; the last came with the scaling.
        let expected = [("0", 3), ("1", 2), ("2", 2), ("3", 1)];
        let expected = expected.map(|(group, count)| (group.to_owned(), count));
        let leaders = witness.leaders()?;
        anyhow::ensure!(leaders == expected.into(), "leaders that each group has had: {leaders:?}");
        witness.ensure_budget(update, 2, 3)?;
        witness.ensure_partition_moves_down(set.name())?;
        witness.ensure_created_once()
    }
}

/// Lives through everything with rules in force, each of which must strike.
pub(crate) async fn survives(rules: impl Fn(&str) -> Vec<Rule>) -> Result<()> {
    let namespace = namespace().await?;
    let mut in_force = Vec::new();
    for rule in rules(namespace.name()) {
        in_force.push((format!("{rule:?}"), add(rule).await?));
    }
    let life = Life::live(&namespace).await?;
    for (rule, in_force) in in_force {
        anyhow::ensure!(in_force.struck() > 0, "never struck: {rule}");
    }
    life.judge().await
}
