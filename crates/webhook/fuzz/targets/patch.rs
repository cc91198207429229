//! A patch of additions and removals does what its operations say, whatever the keys are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lws_webhook::patch::{Patch, escape};
use serde_json::{Map, Value};

/// A key, and the text that it gets; none removes it.
type Change = (String, Option<String>);

fuzz_target!(|changes: Vec<Change>| {
    let mut patch = Patch::default();
    let mut expected = Map::new();
    for (key, value) in &changes {
        let path = format!("/{}", escape(key));
        match value {
            Some(value) => {
                patch.add(&path, value).expect("a text is JSON");
                expected.insert(key.clone(), value.as_str().into());
            }
            None if expected.remove(key).is_some() => patch.remove(&path).expect("a path is JSON"),
            None => {}
        }
    }
    let operations: json_patch::Patch =
        serde_json::from_slice(patch.as_json()).expect("a JSON patch");
    assert_eq!(operations.0.len(), patch.count() as usize);
    let mut object = Value::Object(Map::new());
    json_patch::patch(&mut object, &operations).expect("an applicable patch");
    assert_eq!(object, Value::Object(expected));
});
