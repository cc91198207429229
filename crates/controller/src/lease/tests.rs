//! Tables for the decisions, and one candidate against a store in memory. Several candidates at
//! once are in [`simulation`].

mod fake;
mod simulation;

use std::{
    future::{pending, ready},
    sync::atomic::{AtomicUsize, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use lws_runtime::metrics::Registry;
use proptest::prelude::*;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use self::fake::{FakeStore, Fate, NAME, Network, Server};
use super::{
    candidate::{Candidate, Decision},
    *,
};
use lws_runtime::client::requests::RequestCounter;

const SECOND: Duration = Duration::from_secs(1);

fn settings(identity: &str) -> Settings {
    Settings::new(NAME.to_owned(), identity.to_owned())
}

fn clock(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A record as other implementations write it.
fn record(holder: &str, renewed: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(15),
        acquire_time: Some(MicroTime(clock(-100))),
        renew_time: Some(MicroTime(renewed)),
        lease_transitions: Some(4),
        ..LeaseSpec::default()
    }
}

fn claim_of(decision: Decision) -> LeaseSpec {
    match decision {
        Decision::Write(record) => record,
        other => panic!("expected a claim, got {other:?}"),
    }
}

/// What a candidate `me` that has just seen a record does at once.
#[tokio::test(start_paused = true)]
async fn first_look() {
    let now = Instant::now();
    let with_duration =
        |seconds| LeaseSpec { lease_duration_seconds: seconds, ..record("other", clock(-1000)) };
    let wait = |seconds| Some(now + Duration::from_secs(seconds));
    for (what, seen, waits_until) in [
        ("no lease", None, None),
        ("a lease without a record", Some(LeaseSpec::default()), None),
        ("a released lease", Some(record("", clock(0))), None),
        ("its own claim whose answer was lost", Some(record("me", clock(0))), None),
        (
            "another's, long expired by its time stamps",
            Some(record("other", clock(-1000))),
            wait(15),
        ),
        ("another's, renewed in the future", Some(record("other", clock(1000))), wait(15)),
        ("another's, with a longer duration", Some(with_duration(Some(60))), wait(60)),
        ("another's, without a duration", Some(with_duration(None)), wait(15)),
        ("another's, with an impossible duration", Some(with_duration(Some(-1))), wait(15)),
    ] {
        let mut candidate = Candidate::new(settings("me"));
        if let Some(seen) = &seen {
            candidate.observe(seen, now);
        }
        match (candidate.decide(now, clock(0)), waits_until) {
            (Decision::Wait(until), Some(expected)) => assert_eq!(until, expected, "{what}"),
            (Decision::Write(_), None) => {}
            (decision, _) => panic!("{what}: {decision:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_changes_is_alive() {
    let start = Instant::now();
    let mut candidate = Candidate::new(settings("me"));
    candidate.observe(&record("other", clock(0)), start);
    candidate.observe(&record("other", clock(0)), start + 14 * SECOND);
    assert_eq!(
        candidate.decide(start + 14 * SECOND, clock(14)),
        Decision::Wait(start + 15 * SECOND)
    );
    candidate.observe(&record("other", clock(2)), start + 14 * SECOND);
    assert_eq!(
        candidate.decide(start + 15 * SECOND, clock(15)),
        Decision::Wait(start + 29 * SECOND)
    );
    claim_of(candidate.decide(start + 29 * SECOND, clock(29)));
}

#[tokio::test(start_paused = true)]
async fn records_are_written_as_others_read_them() {
    let now = Instant::now();
    let mut candidate = Candidate::new(Settings {
        lease_duration: Duration::from_millis(14_001),
        ..settings("me")
    });
    let json = |record: &LeaseSpec| serde_json::to_value(record).unwrap();

    let first = claim_of(candidate.decide(now, clock(0)));
    let expected = serde_json::json!({
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "2027-01-15T08:00:00.000000Z",
        "renewTime": "2027-01-15T08:00:00.000000Z",
        "leaseTransitions": 0,
    });
    assert_eq!(json(&first), expected, "first claim");

    candidate.written(&first, now, now);
    let renewed = claim_of(candidate.decide(now, clock(2)));
    let expected = serde_json::json!({
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "2027-01-15T08:00:00.000000Z",
        "renewTime": "2027-01-15T08:00:02.000000Z",
        "leaseTransitions": 0,
    });
    assert_eq!(json(&renewed), expected, "renewal");

    let released = claim_of(candidate.resign(now, clock(3)));
    let expected = serde_json::json!({
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": "2027-01-15T08:00:03.000000Z",
        "renewTime": "2027-01-15T08:00:03.000000Z",
        "leaseTransitions": 0,
    });
    assert_eq!(json(&released), expected, "release");

    let mut successor = Candidate::new(settings("next"));
    let foreign = LeaseSpec {
        preferred_holder: Some("x".to_owned()),
        strategy: Some("y".to_owned()),
        ..released
    };
    successor.observe(&foreign, now);
    let claimed = claim_of(successor.decide(now, clock(4)));
    let expected = serde_json::json!({
        "holderIdentity": "next",
        "leaseDurationSeconds": 15,
        "acquireTime": "2027-01-15T08:00:04.000000Z",
        "renewTime": "2027-01-15T08:00:04.000000Z",
        "leaseTransitions": 1,
        "preferredHolder": "x",
        "strategy": "y",
    });
    assert_eq!(json(&claimed), expected, "takeover");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_changes_the_record_even_if_the_clock_was_set_back() {
    let now = Instant::now();
    let mut candidate = Candidate::new(settings("me"));
    let first = claim_of(candidate.decide(now, clock(0)));
    candidate.written(&first, now, now);
    let renewed = claim_of(candidate.decide(now, clock(-3600)));
    assert_eq!(renewed.renew_time.unwrap().0, clock(0) + SignedDuration::from_micros(1));
}

#[tokio::test(start_paused = true)]
async fn validity_counts_from_the_sending_and_is_not_revived() {
    let start = Instant::now();
    let mut candidate = Candidate::new(settings("me"));
    let first = claim_of(candidate.decide(start, clock(0)));
    candidate.written(&first, start, start + 4 * SECOND);
    assert_eq!(candidate.valid_until(), Some(start + 10 * SECOND));
    // Sent in time, but answered when the validity had ended.
    candidate.written(&record("me", clock(9)), start + 9 * SECOND, start + 10 * SECOND);
    assert_eq!(candidate.valid_until(), Some(start + 10 * SECOND));
    assert_eq!(
        candidate.decide(start + 10 * SECOND, clock(10)),
        Decision::Lost(Loss::NotRenewed(10 * SECOND))
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_sees_another_holder_has_lost() {
    let now = Instant::now();
    for holder in ["other", ""] {
        let mut candidate = Candidate::new(settings("me"));
        candidate.written(&record("me", clock(0)), now, now);
        candidate.observe(&record(holder, clock(1)), now);
        assert_eq!(
            candidate.decide(now, clock(1)),
            Decision::Lost(Loss::Replaced(holder.to_owned()))
        );
        assert_eq!(
            candidate.resign(now, clock(1)),
            Decision::Wait(now),
            "another's record is not emptied"
        );
    }
}

proptest! {
    #[test]
    fn settings_must_be_ordered(lease in 0_u64..5, renew in 0_u64..5, retry in 0_u64..5) {
        let settings = Settings {
            lease_duration: Duration::from_secs(lease),
            renew_deadline: Duration::from_secs(renew),
            retry_period: Duration::from_secs(retry),
            ..settings("me")
        };
        let accepted = LeaderElector::new(FakeStore::perfect(&Server::default()), settings).is_ok();
        prop_assert_eq!(accepted, lease > renew && renew > retry && retry > 0);
    }
}

#[test]
fn identities_are_unique_and_name_the_host() {
    let (one, two) = (identity().unwrap(), identity().unwrap());
    assert_ne!(one, two);
    let host = hostname::get().unwrap().into_string().unwrap();
    let uuid = one.strip_prefix(&format!("{host}_")).unwrap();
    assert_eq!(uuid::Uuid::parse_str(uuid).unwrap().get_version_num(), 4);
}

/// A candidate that runs in a task.
struct Runner {
    leadership: watch::Receiver<Leadership>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), LeaseError>>,
}

fn start(store: FakeStore, identity: &str) -> Runner {
    start_with(store, settings(identity))
}

fn start_with(store: FakeStore, settings: Settings) -> Runner {
    let elector = LeaderElector::new(store, settings).unwrap();
    let leadership = elector.leadership();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(elector.run(async move {
        // Dropping the sender does not stop the candidate.
        if stopped.await.is_err() {
            pending::<()>().await;
        }
    }));
    Runner { leadership, stop, task }
}

impl Runner {
    async fn leads_within(&mut self, limit: Duration) {
        let leads = self.leadership.wait_for(Leadership::is_valid);
        timeout(limit, leads).await.expect("did not become leader in time").unwrap();
    }

    fn is_leader(&self) -> bool {
        self.leadership.borrow().is_valid()
    }

    /// How it ended by itself.
    async fn loss_within(self, limit: Duration) -> Loss {
        match timeout(limit, self.task).await.expect("did not end in time").unwrap() {
            Err(LeaseError::Lost { loss, .. }) => loss,
            other => panic!("expected a loss, got {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_leader_hands_over_within_the_retry_period() {
    let server = Server::default();
    let mut first = start(FakeStore::perfect(&server), "first");
    first.leads_within(SECOND).await;
    let mut second = start(FakeStore::perfect(&server), "second");
    tokio::time::sleep(60 * SECOND).await;
    assert!(first.is_leader() && !second.is_leader());

    first.stop.send(()).unwrap();
    first.task.await.unwrap().unwrap();
    assert_eq!(*first.leadership.borrow(), Leadership::Ended);
    second.leads_within(2 * SECOND).await;
    assert_eq!(server.record().unwrap().lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_leader_is_succeeded_after_the_lease_duration_and_not_before() {
    let server = Server::default();
    let mut first = start(FakeStore::perfect(&server), "first");
    first.leads_within(SECOND).await;
    tokio::time::sleep(SECOND).await;
    let second = start(FakeStore::perfect(&server), "second");
    // The first renews at 2 s, 4 s and so on, the second looks at 1 s, 3 s and so on.
    tokio::time::sleep(SECOND * 9 / 2).await;
    first.task.abort();
    // The second saw the last renewal at 5 s.
    tokio::time::sleep(SECOND * 144 / 10).await;
    assert!(!second.is_leader());
    tokio::time::sleep(SECOND * 2 / 10).await;
    assert!(second.is_leader());
}

#[tokio::test(start_paused = true)]
async fn a_leader_renews_with_one_request_per_retry_period() {
    let server = Server::default();
    let mut leader = start(FakeStore::perfect(&server), "leader");
    leader.leads_within(SECOND).await;
    tokio::time::sleep(SECOND / 2).await;
    let before = server.requests();
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(server.requests() - before, 50);
    assert_eq!(server.record().unwrap().lease_transitions, Some(0));
}

#[tokio::test(start_paused = true)]
async fn one_request_that_hangs_does_not_cost_the_leadership() {
    let server = Server::default();
    let mut leader = start(FakeStore::perfect(&server).with_fate(2, Fate::LOST), "leader");
    leader.leads_within(SECOND).await;
    for _ in 0..600 {
        tokio::time::sleep(SECOND / 10).await;
        assert!(leader.is_leader());
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_ends_at_its_deadline() {
    for fate in [Fate::LOST, Fate::REFUSED] {
        let server = Server::default();
        // A retry period that does not divide the deadline.
        let settings = Settings { retry_period: 3 * SECOND, ..settings("leader") };
        let mut leader = start_with(FakeStore::perfect(&server).with_fates_from(2, fate), settings);
        leader.leads_within(SECOND).await;
        let begun = Instant::now();
        assert_eq!(leader.loss_within(60 * SECOND).await, Loss::NotRenewed(10 * SECOND));
        assert_eq!(begun.elapsed(), 10 * SECOND, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_edited_or_deleted_by_hand_stays_with_its_leader() {
    for edit in [
        |lease: &mut Option<Lease>| *lease = None,
        |lease: &mut Option<Lease>| {
            lease.as_mut().unwrap().metadata.labels =
                Some([("a".to_owned(), "b".to_owned())].into());
        },
    ] {
        let server = Server::default();
        let mut leader = start(FakeStore::perfect(&server), "leader");
        leader.leads_within(SECOND).await;
        let standby = start(FakeStore::perfect(&server), "standby");
        tokio::time::sleep(5 * SECOND).await;
        // Just after a renewal: the standby is the first to see it.
        tokio::time::sleep_until(server.last_write() + SECOND / 10).await;
        server.edit(edit);
        for _ in 0..600 {
            tokio::time::sleep(SECOND / 10).await;
            assert!(leader.is_leader() && !standby.is_leader());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_record_was_taken_ends() {
    let server = Server::default();
    let mut leader = start(FakeStore::perfect(&server), "leader");
    leader.leads_within(SECOND).await;
    server.edit(|lease| lease.as_mut().unwrap().spec = Some(record("thief", clock(0))));
    assert_eq!(leader.loss_within(3 * SECOND).await, Loss::Replaced("thief".to_owned()));
    assert_eq!(server.record(), Some(record("thief", clock(0))));
}

/// A claim that is done although its answer is lost is released when the process stops.
#[tokio::test(start_paused = true)]
async fn a_claim_in_doubt_is_released() {
    let server = Server::default();
    let runner = start(FakeStore::perfect(&server).with_fate(1, Fate::LOST_ANSWER), "me");
    tokio::time::sleep(SECOND).await;
    assert_eq!(server.record().unwrap().holder_identity.as_deref(), Some("me"));
    assert!(!runner.is_leader());
    runner.stop.send(()).unwrap();
    runner.task.await.unwrap().unwrap();
    assert_eq!(server.record().unwrap().holder_identity.as_deref(), Some(""));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_is_reported() {
    let server = Server::default();
    let elector = LeaderElector::new(
        FakeStore::perfect(&server).with_fates_from(2, Fate::REFUSED),
        settings("me"),
    );
    let error = elector.unwrap().run(ready(())).await.unwrap_err();
    assert!(
        matches!(
            error,
            LeaseError::Release { source: RequestError::Failed { verb: "replace", .. }, .. }
        ),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_stops_asks_nothing_more() {
    let server = Server::default();
    // It sees no lease, but its claim comes too late.
    let slow = Fate { request: Some(SECOND), ..Fate::PERFECT };
    let standby = start(FakeStore::perfect(&server).with_fate(1, slow), "standby");
    tokio::time::sleep(SECOND / 2).await;
    let mut leader = start(FakeStore::perfect(&server), "leader");
    leader.leads_within(SECOND / 4).await;
    tokio::time::sleep(SECOND).await;
    let before = server.requests();
    standby.stop.send(()).unwrap();
    standby.task.await.unwrap().unwrap();
    assert_eq!(server.requests(), before);
}

/// The client library would repeat a request that is answered with 429, 503 or 504.
#[tokio::test]
async fn the_client_of_the_store_does_not_retry() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let requests = std::sync::Arc::new(AtomicUsize::new(0));
    let server = tokio::spawn({
        let requests = requests.clone();
        async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 4096];
                assert_ne!(stream.read(&mut buffer).await.unwrap(), 0);
                requests.fetch_add(1, Ordering::SeqCst);
                let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    let counter = RequestCounter::register(&Registry::new()).unwrap();
    let store = KubeStore::new(kube::Config::new(url), "lws-system", &counter).unwrap();
    timeout(10 * SECOND, store.get(NAME)).await.expect("it retries").unwrap_err();
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    server.abort();
}
