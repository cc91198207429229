//! Targets that feed the webhook: any bytes as a review, pods of groups, and changes as a patch.
//!
//! | module | owns |
//! |---|---|
//! | [`pods`] | pods of groups, right and nearly right |
//! | [`model`] | what a pod of a group must look like once it is stored |
//! | [`verify`] | what holds for the answer to any request |

pub mod model;
pub mod pods;
pub mod verify;

use std::cell::LazyCell;

use arbitrary::{Arbitrary as _, Unstructured};
use lws_api_types::pointer::escape;
use lws_webhook::hook::Hook;
use lws_webhook::patch::Patch;
use serde_json::{Map, Value};

use pods::AnyPod;
use verify::Webhooks;

thread_local! {
    /// Without and with gang scheduling.
    static WEBHOOKS: LazyCell<[Webhooks; 2]> =
        const { LazyCell::new(|| [false, true].map(Webhooks::new)) };
}

/// Any bytes, to every webhook.
pub fn review(data: &[u8]) {
    WEBHOOKS.with(|webhooks| {
        for webhooks in webhooks.iter() {
            for hook in Hook::ALL {
                webhooks.verify(hook, data);
            }
        }
    });
}

/// Pods that are right or nearly right, to the webhook that changes them.
pub fn pod(data: &[u8]) {
    let Ok(pod) = AnyPod::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let _stored = admit(&pod);
}

/// Has `pod` admitted; how it is stored with gang scheduling. `None` when it is refused.
///
/// # Panics
///
/// When something does not hold: see [`Webhooks::verify`]; a member of a group is stored as the
/// model says.
#[must_use]
pub fn admit(pod: &AnyPod) -> Option<Value> {
    let json = pod.json();
    let body = pod.review().to_string();
    WEBHOOKS.with(|webhooks| {
        let stored = webhooks.iter().map(|webhooks| {
            let response = webhooks.verify(Hook::MutatePod, body.as_bytes());
            let stored = response.stored(&json);
            if pod.is_member() {
                let expected = model::stored(&json, webhooks.gang_scheduling());
                assert_eq!(stored.as_ref(), Some(&expected), "{json}: {}", response.0);
            }
            stored
        });
        stored.last().flatten()
    })
}

/// A key, and the text that it gets; none removes it.
type Change = (String, Option<String>);

/// A patch of additions and removals does what its operations say, whatever the keys are.
pub fn patch(data: &[u8]) {
    let changes = Vec::<Change>::arbitrary_take_rest(Unstructured::new(data));
    let mut patch = Patch::default();
    let mut expected = Map::new();
    for (key, value) in changes.iter().flatten() {
        let pointer = format!("/{}", escape(key));
        match value {
            Some(value) => {
                patch.add(&pointer, value).expect("a text is JSON");
                expected.insert(key.clone(), value.as_str().into());
            }
            None if expected.remove(key).is_some() => {
                patch.remove(&pointer).expect("a path is JSON");
            }
            None => {}
        }
    }
    let operations: json_patch::Patch =
        serde_json::from_slice(patch.as_json()).expect("a JSON patch");
    assert_eq!(operations.0.len(), patch.count() as usize);
    let mut object = Value::Object(Map::new());
    json_patch::patch(&mut object, &operations).expect("an applicable patch");
    assert_eq!(object, Value::Object(expected));
}
