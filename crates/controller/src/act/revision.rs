//! New revisions. The name of one is anybody's to take: the next number is taken then.

use kube::api::{Api, ListParams};
use lws_api_types::LeaderWorkerSet;
use serde_json::{Value, json};

use super::Actor;
use super::error::{Cause, Error};
use super::request::{Requests, name, ours, what};
use crate::observe::views::RevisionView;
use crate::plan::task::EventDraft;

/// Names in a row that may be taken by others.
const MOST_TAKEN: usize = 16;

impl Requests {
    /// Creates a revision; one of its name that is ours is the answer to an earlier request.
    async fn create_revision(&self, ns: &str, object: &Value) -> Result<RevisionView, Error> {
        match self.create(ns, object).await {
            Err(error) if error.is_conflict() => {
                let api = Api::<RevisionView>::namespaced(self.client.clone(), ns);
                let name = name(object);
                // Reading a single one is no permission that is needed otherwise.
                let params = ListParams::default().fields(&format!("metadata.name={name}"));
                let what = what::<RevisionView>(ns, name);
                let found = self.send("list", &what, api.list(&params)).await?;
                ours(found.items.into_iter().next(), error, object)
            }
            other => other,
        }
    }
}

impl Actor {
    /// Creates a revision under the first name from that of `object` on which nobody else has
    /// taken; tells of those that are.
    pub(super) async fn create_revision(
        &self,
        set: &LeaderWorkerSet,
        object: &Value,
    ) -> Result<RevisionView, Error> {
        let mut object = object.clone();
        for _ in 0..MOST_TAKEN {
            match self.requests.create_revision(set.namespace(), &object).await {
                Err(Error { cause: Cause::Foreign(holder), .. }) => {
                    let next = raised(&object);
                    let note = format!(
                        "Failed to create revision {}, {} is created instead: {holder}",
                        name(&object),
                        name(&next),
                    );
                    self.recorder.tell(set, EventDraft::warning("FailedCreate", "Create", note));
                    object = next;
                }
                other => return other,
            }
        }
        self.requests.create_revision(set.namespace(), &object).await
    }
}

/// The same revision with the next number, which is part of its name.
fn raised(object: &Value) -> Value {
    let number = object.get("revision").and_then(Value::as_i64).unwrap_or(0);
    let stem = name(object).strip_suffix(&number.to_string()).unwrap_or_default();
    let name = format!("{stem}{}", number + 1);
    let mut raised = object.clone();
    for (pointer, next) in [("/revision", json!(number + 1)), ("/metadata/name", json!(name))] {
        if let Some(present) = raised.pointer_mut(pointer) {
            *present = next;
        }
    }
    raised
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_revision_is_the_end_of_its_name() {
        let revision = json!({"metadata": {"name": "s-9-key-9", "labels": {}}, "revision": 9});
        let expected = json!({"metadata": {"name": "s-9-key-10", "labels": {}}, "revision": 10});
        assert_eq!(raised(&revision), expected);
    }
}
