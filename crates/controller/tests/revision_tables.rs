//! Which revision a set is at, as a table: what is stored and wanted, and what follows.
//!
//! ```text
//! a - | a=A#1 | a - | A zone | create other #2 Changed
//! ^     ^       ^     ^        ^ what is decided: the key, and for a new revision number and cause
//! |     |       |     content and placement that the user wants
//! |     |       key and placement of each leader pod
//! |     revisions: key, content, number
//! key and placement of the leader StatefulSet
//! ```
//!
//! Keys `a` and `b` are those of contents `A` and `B`, as other programs compute them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use lws_api_types::keys::{annotations, labels};
use lws_api_types::revision::{encode, key};
use lws_api_types::{LeaderWorkerSet, LeaderWorkerSetSpec};
use lws_controller::observe::entry::Objects;
use lws_controller::observe::views::{PodView, RevisionView, StatefulSetView};
use lws_controller::plan::revision::{Current, Decision, decide};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const TABLE: &str = "
# A new set has the plain key, whatever its placement.
    |             |             | A -    | create a #1 New
    |             |             | A zone | create a #1 New
    | a=A#1       |             | A zone | at a
# Nothing has changed, or content alone has.
a zone | a=A#1    | a zone      | A zone | at a
x zone | x=A#1    |             | A zone | at x
a zone | a=A#1    | a zone      | B zone | create b #2 Changed
a zone | a=A#1 b=B#2 | a zone   | B zone | to b
b zone | a=A#1 b=B#2 | a zone   | A zone | raise a to 3
# Placement has changed. A failing apply makes no further revision, another change neither.
a - | a=A#1       | a -         | A zone | create other #2 Changed
a - | a=A#1 x=A#2 | a - a -     | A zone | to x
a - | a=A#1 x=A#2 | a - a -     | A rack | to x
# It has changed again in the middle of its update.
x zone | a=A#1 x=A#2 | a - x zone | A zone | at x
x zone | a=A#1 x=A#2 | a - x zone | A rack | create other #3 Changed
# It has changed back: groups that have never left count as updated.
x zone | a=A#1 x=A#2 | a - x zone | A -  | raise a to 3
x zone | a=A#1 y=A#2 x=A#3 | a -  | A -  | raise a to 4
a - | a=A#3 x=A#2 | a - x zone  | A -    | at a
# Or after its update: the plain key is free again.
x zone | x=A#2    | x zone      | A -    | create a #3 Changed
x zone | x=A#2    | x zone      | A rack | create a #3 Changed
# Both have changed.
a - | a=A#1       | a -         | B zone | create b #2 Changed
b zone | a=A#1 b=B#2 | a - b zone | A zone | create other #3 Changed
# A key without a revision gets one first, then its placement is looked at.
x zone |          | x zone      | A -    | create x #1 Missing
x zone | x=A#1    | x zone      | A -    | create a #2 Changed
";

fn view<V: DeserializeOwned>(value: Value) -> V {
    serde_json::from_value(value).unwrap()
}

fn content(name: &str) -> LeaderWorkerSetSpec {
    view(json!({"leaderWorkerTemplate": {"workerTemplate": {"spec": {
        "containers": [{"name": "c", "image": name}],
    }}}}))
}

/// A key as objects carry it.
fn stored(name: &str) -> String {
    match name {
        "a" | "b" => key(&encode(&content(&name.to_uppercase()))),
        other => other.to_owned(),
    }
}

/// A key as the table writes it.
fn written(key: &str) -> &str {
    ["a", "b", "x"].into_iter().find(|name| stored(name) == key).unwrap_or("other")
}

fn placed(placement: &str) -> Value {
    match placement {
        "-" => json!({}),
        key => json!({annotations::EXCLUSIVE_TOPOLOGY: key}),
    }
}

fn set(wanted: &str) -> LeaderWorkerSet {
    let (name, placement) = wanted.split_once(' ').unwrap();
    let mut set: LeaderWorkerSet =
        view(json!({"metadata": {"name": "s", "uid": "u", "annotations": placed(placement)}}));
    set.spec = content(name);
    set
}

fn leader_set(text: &str) -> Option<StatefulSetView> {
    let (key, placement) = text.split_once(' ')?;
    Some(view(json!({
        "metadata": {"name": "s", "labels": {labels::REVISION: stored(key)}},
        "spec": {"template": {"metadata": {"annotations": placed(placement)}}},
    })))
}

fn revision(text: &str) -> RevisionView {
    let (key, rest) = text.split_once('=').unwrap();
    let (name, number) = rest.split_once('#').unwrap();
    let data: Value = serde_json::from_str(&encode(&content(name))).unwrap();
    view(json!({
        "metadata": {"name": text, "labels": {labels::NAME: "s", labels::REVISION: stored(key)}},
        "revision": number.parse::<i64>().unwrap(),
        "data": data,
    }))
}

fn pods(text: &str) -> Objects<PodView> {
    let words: Vec<_> = text.split_whitespace().collect();
    let pod = |(index, pair): (usize, &[&str])| {
        let pod = view(json!({"metadata": {
            "name": format!("s-{index}"),
            "labels": {labels::WORKER_INDEX: "0", labels::REVISION: stored(pair[0])},
            "annotations": placed(pair[1]),
        }}));
        (format!("s-{index}"), Arc::new(pod))
    };
    words.chunks(2).enumerate().map(pod).collect()
}

fn told(decision: &Decision<'_>) -> String {
    match decision {
        Decision::Current(Current { revision, changed }) => {
            format!("{} {}", if *changed { "to" } else { "at" }, written(&revision.key))
        }
        Decision::Raise { revision, number } => {
            format!("raise {} to {number}", written(&revision.key))
        }
        Decision::Create { key, hash, number, data, cause } => {
            assert_eq!(*hash, lws_api_types::revision::key(data), "names have the plain hash");
            format!("create {} #{number} {cause:?}", written(key))
        }
    }
}

#[test]
fn a_key_stands_for_content_and_placement() {
    let rows = TABLE.lines().filter(|it| !it.is_empty() && !it.starts_with('#'));
    for row in rows {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [leader, revisions, leaders, wanted, expected] = cells[..] else { panic!("{row}") };
        let revisions: Vec<_> = revisions.split_whitespace().map(revision).collect();
        let revisions: Vec<_> = revisions.iter().collect();
        let (leader, pods) = (leader_set(leader), pods(leaders));
        let decision =
            decide(&set(wanted), &encode(&set(wanted).spec), leader.as_ref(), &revisions, &pods);
        assert_eq!(told(&decision), expected, "{row}");
    }
}
