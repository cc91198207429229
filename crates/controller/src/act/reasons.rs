//! Why a `StatefulSet` lacks pods, as its controller tells it: in events.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};

use super::error::Error;
use super::request::{Requests, what};
use crate::plan::task::Target;

impl Requests {
    /// The newest reason why a pod of a `StatefulSet` could not be created; `None` when none is
    /// told.
    pub(super) async fn reason_of_shortage(
        &self,
        ns: &str,
        target: &Target,
    ) -> Result<Option<String>, Error> {
        let api = Api::<Event>::namespaced(self.client.clone(), ns);
        let fields = format!(
            "involvedObject.kind=StatefulSet,involvedObject.uid={},type=Warning,reason=FailedCreate",
            target.uid
        );
        let params = ListParams::default().fields(&fields);
        let events = self.send("list", &what::<Event>(ns, &target.name), api.list(&params)).await?;
        Ok(events.items.into_iter().max_by_key(last_seen).and_then(|it| it.message))
    }
}

/// When what an event tells of was last seen, however its reporter says that.
#[must_use]
pub fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|it| it.last_observed_time.as_ref());
    let series = series.map(|it| it.0);
    let last = event.last_timestamp.as_ref().map(|it| it.0);
    series.into_iter().chain(last).max().or_else(|| first_seen(event))
}

/// When it was first seen.
#[must_use]
pub fn first_seen(event: &Event) -> Option<Timestamp> {
    let first = event.first_timestamp.as_ref().map(|it| it.0);
    let time = event.event_time.as_ref().map(|it| it.0);
    first.or(time).or_else(|| event.metadata.creation_timestamp.as_ref().map(|it| it.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_observation_of_an_event_counts() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let (old, new) = (at(1).to_string(), at(2).to_string());
        for event in [
            json!({"lastTimestamp": new, "firstTimestamp": old}),
            json!({"eventTime": new}),
            json!({"eventTime": old, "series": {"count": 2, "lastObservedTime": new}}),
        ] {
            let event: Event = serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {},
                "lastTimestamp": event["lastTimestamp"], "firstTimestamp": event["firstTimestamp"],
                "eventTime": event["eventTime"], "series": event["series"],
            }))
            .unwrap();
            assert_eq!(last_seen(&event), Some(at(2)), "{event:?}");
        }
    }
}
