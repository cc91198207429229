//! Any pod of a group is admitted as the documentation says, and once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test panics")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use arbitrary::{Arbitrary as _, Unstructured};
use lws_api_types::keys::{annotations, env, labels};
use lws_fuzz::admission;
use lws_fuzz::admission::pods::AnyPod;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

const CASES: u32 = 1024;

/// At least one in so many cases is of each kind.
const SHARES: [(&str, u32); 12] = [
    ("a member", 2),
    ("refused", 16),
    ("a leader", 4),
    ("a worker", 4),
    ("in a subgroup", 8),
    ("in no subgroup of a divided group", 64),
    ("told TPU hosts", 8),
    ("of several TPU containers", 16),
    ("placed by itself", 16),
    ("placed beside terms of its own", 16),
    ("with variables of the same names", 32),
    ("with fields that nobody knows", 4),
];

fn any_pod() -> impl Strategy<Value = AnyPod> {
    prop::collection::vec(any::<u8>(), 256..2048)
        .prop_map(|bytes| AnyPod::arbitrary_take_rest(Unstructured::new(&bytes)).unwrap())
}

/// Which of the kinds a member is that was stored in this form.
fn kinds(pod: &Value, stored: &Value) -> Vec<&'static str> {
    let variables = |pod: &Value, name: &str| {
        let containers = ["containers", "initContainers"].map(|list| pod["spec"][list].clone());
        let containers = containers.iter().filter_map(Value::as_array).flatten();
        let lists = containers.filter_map(|container| container["env"].as_array());
        lists.flatten().filter(|variable| variable["name"] == name).count()
    };
    let told = variables(stored, env::TPU_WORKER_ID) - variables(pod, env::TPU_WORKER_ID).min(1);
    let labels = &stored["metadata"]["labels"];
    let subgroup = labels.get(labels::SUBGROUP_INDEX).is_some();
    let divided = stored["metadata"]["annotations"].get(annotations::SUBGROUP_SIZE).is_some();
    let affinity = (&pod["spec"]["affinity"], &stored["spec"]["affinity"]);
    [
        ("a member", true),
        ("a leader", labels[labels::WORKER_INDEX] == "0"),
        ("a worker", labels[labels::WORKER_INDEX] != "0"),
        ("in a subgroup", subgroup && divided),
        ("in no subgroup of a divided group", divided && !subgroup),
        ("told TPU hosts", told > 0),
        ("of several TPU containers", told > 1),
        ("placed by itself", affinity.0.is_null() && !affinity.1.is_null()),
        ("placed beside terms of its own", !affinity.0.is_null() && affinity.0 != affinity.1),
        ("with variables of the same names", variables(pod, env::GROUP_SIZE) > 0),
        ("with fields that nobody knows", stored.get("future").is_some()),
    ]
    .into_iter()
    .filter_map(|(kind, is)| is.then_some(kind))
    .collect()
}

/// The patch of any member of a group gives the object of the model, and a second admission changes
/// nothing; others are refused or stored, and nothing panics.
#[test]
fn any_pod_is_patched_once() {
    let counts = RefCell::new(BTreeMap::<&str, u32>::new());
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..Config::default()
    });
    let outcome = runner.run(&any_pod(), |pod| {
        let stored = admission::admit(&pod);
        let kinds = match &stored {
            None => vec!["refused"],
            Some(stored) if pod.is_member() => kinds(&pod.json(), stored),
            Some(_) => Vec::new(),
        };
        let mut counts = counts.borrow_mut();
        for kind in kinds {
            *counts.entry(kind).or_default() += 1;
        }
        Ok(())
    });
    outcome.unwrap();
    let counts = counts.into_inner();
    for (kind, share) in SHARES {
        let count = counts.get(kind).copied().unwrap_or_default();
        assert!(count >= CASES / share, "{kind}: {count} of {CASES}; {counts:?}");
    }
}
