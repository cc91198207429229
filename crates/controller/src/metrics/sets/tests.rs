use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lws_api_types::conditions::{set_failure, set_true};

use prometheus::proto::LabelPair;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A set of four groups, created at second 0, with what became true of it at which second.
fn set(name: &str, conditions: &[(ConditionType, i64)]) -> LeaderWorkerSet {
    let mut set = LeaderWorkerSet::default();
    set.metadata.name = Some(name.to_owned());
    set.metadata.creation_timestamp = Some(Time(at(0)));
    set.spec.replicas = Some(4);
    let status = set.status.get_or_insert_default();
    for (condition, second) in conditions {
        set_true(&mut status.conditions, *condition, None, at(*second));
    }
    set
}

fn failing(name: &str, message: &str) -> LeaderWorkerSet {
    let mut set = set(name, &[(ConditionType::Available, 5)]);
    let conditions = &mut set.status.as_mut().unwrap().conditions;
    set_failure(conditions, Some(("FailedCreate", message)), None, at(6));
    set
}

/// Every series that is not 0, as `<metric> <labels> <value>`.
fn shown(sets: &Sets) -> Vec<String> {
    let mut all = Vec::new();
    for family in sets.collect() {
        for metric in family.get_metric() {
            let labels: Vec<_> = metric.get_label().iter().map(LabelPair::value).collect();
            let value = metric.get_gauge().get_value();
            if value > 0.0 {
                // How much time has passed is not of interest.
                let value = if family.name().ends_with("_seconds") {
                    "…".to_owned()
                } else {
                    value.to_string()
                };
                all.push(format!("{} {} {value}", family.name(), labels.join("/")));
            }
        }
    }
    all
}

fn show(sets: &Sets, set: &LeaderWorkerSet) {
    sets.show(&SetKey::new("n", set.name()), Some(Ok(set)));
}

#[test]
fn a_set_is_shown_as_its_status_says() {
    let sets = Sets::register(&Registry::new(), 10).unwrap();
    show(&sets, &set("a", &[(ConditionType::Available, 5)]));
    show(&sets, &set("b", &[(ConditionType::Progressing, 1)]));
    let mut updating = set(
        "c",
        &[
            (ConditionType::Available, 5),
            (ConditionType::UpdateInProgress, 9),
            (ConditionType::Progressing, 9),
        ],
    );
    updating.status.as_mut().unwrap().updated_replicas = 1;
    show(&sets, &updating);
    show(&sets, &failing("d", "service d exists and is controlled by nobody: it is left"));
    sets.show(&SetKey::new("n", "e"), Some(Err(())));
    let expected = [
        "lws_sets available 2",
        "lws_sets progressing 1",
        "lws_sets unreadable 1",
        "lws_sets updating 1",
        "lws_sets_hindered name_taken 1",
        "lws_set_hindered name_taken/d/n 1",
        "lws_set_unavailable_seconds b/n/progressing …",
        "lws_set_unavailable_seconds c/n/updating …",
        "lws_set_updated_ratio c/n 0.25",
    ];
    assert_eq!(sorted(shown(&sets)), sorted(expected.map(str::to_owned).to_vec()));
    for name in ["b", "c", "d", "e"] {
        sets.show(&SetKey::new("n", name), None);
    }
    assert_eq!(shown(&sets), ["lws_sets available 1"]);
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort_unstable();
    all
}

#[test]
fn there_are_never_more_series_than_are_allowed_and_all_sets_are_counted() {
    let sets = Sets::register(&Registry::new(), 2).unwrap();
    for second in 1..=5 {
        let mut set = set(&format!("s{second}"), &[]);
        set.metadata.creation_timestamp = Some(Time(at(second)));
        show(&sets, &set);
    }
    let seen = sorted(shown(&sets));
    let series: Vec<_> = seen.iter().filter(|it| it.starts_with("lws_set_")).collect();
    assert_eq!(
        series,
        [
            "lws_set_unavailable_seconds s1/n/progressing …",
            "lws_set_unavailable_seconds s2/n/progressing …",
        ]
    );
    assert!(seen.contains(&"lws_sets progressing 5".to_owned()), "{seen:?}");
}

#[test]
fn groups_are_added_up_and_leave_with_their_set() {
    let sets = Sets::register(&Registry::new(), 0).unwrap();
    for (name, ready) in [("a", 2), ("b", 3)] {
        let mut standing = Standing::default();
        standing.states[0] = ready;
        sets.group(&SetKey::new("n", name), standing);
    }
    assert_eq!(shown(&sets), ["lws_groups ready 5"]);
    sets.show(&SetKey::new("n", "b"), None);
    assert_eq!(shown(&sets), ["lws_groups ready 2"]);
}

#[test]
fn what_has_ended_is_measured_once() {
    use ConditionType::{Available, Progressing, UpdateInProgress};
    let status = |conditions: &[(ConditionType, i64)]| set("s", conditions).status.unwrap();
    let now = at(100) + Duration::from_millis(500);
    let new = [(Progressing, 1)];
    let updating = [(Available, 5), (UpdateInProgress, 60), (Progressing, 60)];
    for (before, after, start, rollout) in [
        (&[][..], &[(Progressing, 100)][..], None, None),
        (&new, &[(Progressing, 1), (Available, 100)], Some(100.5), None),
        (&[(Available, 5)], &[(Available, 5)], None, None),
        (&[(Available, 5), (Progressing, 50)], &[(Progressing, 50), (Available, 100)], None, None),
        (&updating, &[(UpdateInProgress, 60), (Available, 100)], None, Some(40.5)),
    ] {
        let ended = Ended::by(&set("s", before), &status(after), now);
        assert_eq!(ended, Ended { start, rollout }, "{before:?}");
    }
}
