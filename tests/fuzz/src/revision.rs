//! Stored revisions, and specs that are recorded and restored.

use std::collections::BTreeMap;

use lws_api_types::revision::{content, encode, key, restore, same_content};
use lws_api_types::{LeaderWorkerSet, LeaderWorkerSetSpec};
use lws_controller::observe::views::RevisionView;
use lws_controller::plan::build;
use lws_controller::plan::revision::{Decision, decide};
use serde_json::{Value, json};

/// Two lines of JSON: the spec of a set, and a `ControllerRevision`. A spec that none can be is that of
/// a set without content; data of something else is a revision too.
pub fn revision(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let mut line = || serde_json::from_slice::<Value>(lines.next().unwrap_or_default());
    let (spec, stored) = (line(), line());
    let spec = spec.and_then(serde_json::from_value::<LeaderWorkerSetSpec>).unwrap_or_default();
    verify_record(&spec);
    if let Ok(mut object) = stored {
        verify_restored(&spec, &object["data"]);
        verify_choice(&spec, &mut object);
    }
}

/// What is recorded of a spec restores to the same record, under the same key.
fn verify_record(spec: &LeaderWorkerSetSpec) {
    let encoded = encode(spec);
    let data: Value = serde_json::from_str(&encoded).expect("data is JSON");
    assert!(same_content(&data, &encoded, spec), "{encoded}");
    assert_eq!(content(&data).as_ref(), Some(&encoded));
    let key = key(&encoded);
    assert!((1..=10).contains(&key.len()) && key.chars().all(|it| "456789bcdf".contains(it)));
    let restored = restore(spec, &data).expect("what was recorded");
    assert_eq!(encode(&restored), encoded);
}

/// What data restores to is recorded as the same content, and the rest of the set stays.
fn verify_restored(live: &LeaderWorkerSetSpec, data: &Value) {
    let encoded = encode(live);
    let restored = match restore(live, data) {
        Ok(restored) => restored,
        Err(error) => {
            assert!(!same_content(data, &encoded, live), "{error}: {data}");
            assert_eq!(content(data), None, "{error}: {data}");
            return;
        }
    };
    verify_record(&restored);
    let recorded = encode(&restored);
    assert!(same_content(data, &recorded, live), "{data}");
    assert_eq!(same_content(data, &encoded, live), recorded == encoded, "{data}");
    if let Some(content) = content(data) {
        assert_eq!(content, recorded, "whatever the live set is: {data}");
    }
    let expected = LeaderWorkerSetSpec {
        leader_worker_template: restored.leader_worker_template.clone(),
        network_config: restored.network_config.clone(),
        ..live.clone()
    };
    assert_eq!(restored, expected);
    if data["spec"].get("networkConfig").is_none() {
        assert_eq!(restored.network_config, live.network_config, "{data}");
    }
}

/// A revision of the live content is found again, and else one is recorded above it, which is found.
fn verify_choice(live: &LeaderWorkerSetSpec, object: &mut Value) {
    let set: LeaderWorkerSet = serde_json::from_value(json!({
        "metadata": {"name": "s", "namespace": "n", "uid": "u"}, "spec": live,
    }))
    .expect("a set");
    // Whose it is, is another question.
    if object.is_object() {
        object["metadata"]["ownerReferences"] = Value::Null;
        object["metadata"]["deletionTimestamp"] = Value::Null;
    }
    let Ok(stored) = serde_json::from_value::<RevisionView>(object.take()) else { return };
    let encoded = encode(live);
    let pods = BTreeMap::new();
    let is_same = same_content(&stored.data, &encoded, live);
    assert_eq!(stored.records(&encoded, live), is_same);
    match decide(&set, &encoded, None, &[&stored], &pods) {
        Decision::Current(current) => {
            assert!(is_same && current.revision.number == stored.number);
        }
        Decision::Create { key: created, hash, number, data, .. } => {
            assert!(!is_same);
            assert_eq!(number, stored.number.max(0).saturating_add(1), "after {}", stored.number);
            assert_eq!((data.as_str(), hash.as_str()), (encoded.as_str(), key(&data).as_str()));
            let object = build::revision(&set, &created, &hash, number, &data).expect("JSON");
            let new: RevisionView = serde_json::from_value(object).expect("a revision");
            assert_eq!((new.key.as_str(), new.number), (created.as_str(), number));
            let next = decide(&set, &encoded, None, &[&stored, &new], &pods);
            let Decision::Current(current) = next else { panic!("{next:?}") };
            assert_eq!(current.revision.number, number);
        }
        Decision::Raise { .. } => panic!("the only revision has the highest number"),
    }
}
