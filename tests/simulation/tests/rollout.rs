//! Rollouts against a simulated cluster: whatever order groups become ready, fail and go away in,
//! and whatever the user changes meanwhile, a rollout keeps its budget and comes to its end.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

use lws_api_types::set::RollingUpdate;
use lws_simulation::{Cluster, Event, Wanted};
use proptest::prelude::*;

fn wanted() -> impl Strategy<Value = Wanted> {
    let partition = prop_oneof![3 => Just(0_i64), 1 => 0..10_i64];
    (0..8_i64, 0..4_i64, 0..4_i64, partition, 0..3_u8).prop_map(
        |(replicas, max_unavailable, max_surge, partition, template)| Wanted {
            replicas,
            strategy: RollingUpdate { partition, max_unavailable, max_surge },
            template,
        },
    )
}

/// What happens without the user.
fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Reconcile),
        3 => Just(Event::Control),
        4 => any::<usize>().prop_map(Event::Ready),
        3 => any::<usize>().prop_map(Event::Gone),
        1 => any::<usize>().prop_map(Event::Fail),
    ]
}

fn event_or_change() -> impl Strategy<Value = Event> {
    prop_oneof![12 => event(), 1 => wanted().prop_map(Event::Change)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// One change of the template, and settings that stay.
    #[test]
    fn a_rollout_keeps_its_budget_and_ends(
        start in wanted(),
        feature_gate: bool,
        events in prop::collection::vec(event(), 0..150),
        order: usize,
    ) {
        let mut cluster = Cluster::settled(Wanted { template: 0, ..start }, feature_gate);
        cluster.assert_complete();
        cluster.change_template(1);
        for event in events {
            cluster.handle(event);
        }
        cluster.settle(true, order);
        cluster.assert_complete();
    }

    /// All groups that start become ready at once.
    #[test]
    fn a_rollout_in_rounds_keeps_its_budget_and_ends(start in wanted(), feature_gate: bool) {
        let mut cluster = Cluster::settled(Wanted { template: 0, ..start }, feature_gate);
        cluster.change_template(1);
        cluster.roll();
        cluster.assert_complete();
    }

    /// The user changes everything at any time.
    #[test]
    fn any_sequence_of_changes_ends(
        start in wanted(),
        feature_gate: bool,
        events in prop::collection::vec(event_or_change(), 0..200),
        order: usize,
    ) {
        let mut cluster = Cluster::settled(start, feature_gate);
        for event in events {
            cluster.handle(event);
        }
        cluster.settle(true, order);
        cluster.assert_complete();
    }

    /// A new template repairs groups that will never recover by themselves, as long as they leave
    /// some of the budget.
    #[test]
    fn groups_that_stay_down_do_not_stop_a_rollout(
        start in wanted(),
        feature_gate: bool,
        failures in prop::collection::vec(any::<usize>(), 0..6),
        order: usize,
    ) {
        let mut start = Wanted { template: 0, ..start };
        start.strategy.partition = 0;
        let surge = start.strategy.max_surge.min(start.replicas);
        let budget = start.strategy.max_unavailable.max(i64::from(surge == 0)) + surge;
        let mut cluster = Cluster::settled(start, feature_gate);
        for pick in failures.into_iter().take(usize::try_from(budget - 1).unwrap()) {
            cluster.handle(Event::Fail(pick));
        }
        cluster.change_template(1);
        cluster.settle(false, order);
        cluster.assert_updated();
    }
}
