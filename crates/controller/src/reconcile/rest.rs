//! How long a set rests after it was worked on, so that a burst of observations is one reconcile.

use std::time::Duration;

use crate::observe::index::SetKey;
use crate::queue::Work;

/// How long it does at least.
const SHORTEST: Duration = Duration::from_millis(5);
/// How long it does for each of its pods, up to [`LONGEST_OF_PODS`], if that is longer. A plan takes
/// a quarter of a microsecond a pod and a reconcile is one or two plans, so a set of up to 4000 pods
/// that change all the time takes a two-hundredth of a core, one of 10 000 pods an eightieth.
const OF_A_POD: Duration = Duration::from_micros(100);
const LONGEST_OF_PODS: Duration = Duration::from_millis(400);
/// The same for each set that is being worked on or rests, up to [`LONGEST_OF_SETS`]: a burst of sets
/// keeps the API server busy, so that they have to wait for it anyway.
const OF_A_SET: Duration = Duration::from_millis(1);
const LONGEST_OF_SETS: Duration = Duration::from_millis(100);

/// The rest of a set that has so many `pods` while so many `sets` are being worked on or rest.
pub(super) fn after(pods: usize, sets: usize) -> Duration {
    let times = |rest: Duration, count| rest * u32::try_from(count).unwrap_or(u32::MAX);
    let (of_pods, of_sets) = (times(OF_A_POD, pods), times(OF_A_SET, sets));
    SHORTEST.max(of_pods.min(LONGEST_OF_PODS)).max(of_sets.min(LONGEST_OF_SETS))
}

/// Keeps a set from being worked on for a moment longer. Others have their turn meanwhile.
pub(super) fn take(work: Work<SetKey>, time: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        drop(work);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_rests_the_longer_the_more_pods_and_sets_there_are() {
        for (pods, sets, milliseconds) in [
            (0, 1, 5),
            (40, 1, 5),
            (400, 1, 40),
            (4000, 1, 400),
            (10_000, 1, 400),
            (8, 50, 50),
            (8, 300, 100),
            (usize::MAX, usize::MAX, 400),
        ] {
            let rest = Duration::from_millis(milliseconds);
            assert_eq!(after(pods, sets), rest, "{pods} pods, {sets} sets");
        }
    }
}
