//! The connections of a server: what each has in hand, and which one leaves when there are too
//! many.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::HangUp;

/// How long a client may keep others waiting. A connection that has carried a request is left alone
/// for this long after it, and one whose request is arriving for this long since that began, unless
/// others have no other way in.
pub const GRACE: Duration = Duration::from_secs(1);

/// How long others may be waiting before that protects nobody any more: clients that ask often
/// enough would keep them out for good.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is left of [`GRACE`] then: an answer is with the system, and a small body has arrived.
const MOMENT: Duration = Duration::from_millis(10);

/// All connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    members: Vec<Weak<Member>>,
    pressure: Option<Pressure>,
}

/// That others wait for a place, one after the other.
#[derive(Clone, Copy, Debug)]
struct Pressure {
    since: Instant,
    /// When somebody was last known to wait.
    last: Instant,
}

/// What a connection is worth: the lowest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It has carried no request.
    Fresh,
    /// It has no request.
    Idle,
    /// The body of its request is not complete.
    Arriving,
    /// It has a request that is complete, and never goes.
    Busy,
}

#[derive(Debug)]
struct State {
    rank: Rank,
    /// Since when it has this rank.
    since: Instant,
    /// Requests that are not answered.
    open: usize,
    /// Those among them that are complete.
    whole: usize,
}

/// A connection, as the others see it.
#[derive(Debug)]
pub(crate) struct Member {
    state: Mutex<State>,
    left: CancellationToken,
}

impl Crowd {
    /// Adds a connection, which belongs to the crowd as long as somebody holds it.
    pub(crate) fn join(&mut self) -> Arc<Member> {
        let member = Arc::new(Member {
            state: Mutex::new(State {
                rank: Rank::Fresh,
                since: Instant::now(),
                open: 0,
                whole: 0,
            }),
            left: CancellationToken::new(),
        });
        self.members.retain(|it| it.strong_count() > 0);
        self.members.push(Arc::downgrade(&member));
        member
    }

    /// Asks one connection to leave, if there is one to spare: of the lowest rank the one that has
    /// it for the longest time. Asks nobody else as long as one is on its way. To be repeated as
    /// long as somebody waits.
    pub(crate) fn make_room(&mut self) {
        let now = Instant::now();
        let grace = self.grace(now);
        let mut first: Option<(Rank, Instant, Arc<Member>)> = None;
        for member in self.members.iter().filter_map(Weak::upgrade) {
            if member.left.is_cancelled() {
                return;
            }
            let (rank, since) = {
                let state = member.state();
                if !state.may_leave(now, grace) {
                    continue;
                }
                (state.rank, state.since)
            };
            if first.as_ref().is_none_or(|first| (rank, since) < (first.0, first.1)) {
                first = Some((rank, since, member));
            }
        }
        if let Some((.., member)) = first {
            let state = member.state();
            // It may have got a request since it was looked at.
            if state.may_leave(now, grace) {
                member.left.cancel();
            }
        }
    }

    /// How long a connection is left alone, given that somebody waits.
    fn grace(&mut self, now: Instant) -> Duration {
        // It is the crowd that is under pressure: who waits now may have many before it.
        let lasting = self.pressure.filter(|it| now.duration_since(it.last) < GRACE);
        let since = lasting.map_or(now, |it| it.since);
        self.pressure = Some(Pressure { since, last: now });
        if now.duration_since(since) < PATIENCE { GRACE } else { MOMENT }
    }
}

impl State {
    fn may_leave(&self, now: Instant, grace: Duration) -> bool {
        match self.rank {
            Rank::Fresh => true,
            Rank::Idle | Rank::Arriving => now.duration_since(self.since) >= grace,
            Rank::Busy => false,
        }
    }

    /// Takes what has changed into the rank.
    fn update(&mut self) {
        let rank = match (self.open, self.whole) {
            (0, _) => Rank::Idle,
            (_, 0) => Rank::Arriving,
            _ => Rank::Busy,
        };
        if rank != self.rank {
            self.rank = rank;
            self.since = Instant::now();
        }
    }
}

impl Member {
    /// Completes when the connection has to leave.
    pub(crate) async fn left(&self) {
        self.left.cancelled().await;
    }

    /// Whether it has a request that is complete.
    pub(super) fn is_busy(&self) -> bool {
        self.state().rank == Rank::Busy
    }

    /// What a request may end the connection by.
    pub(super) fn hang_up(&self) -> HangUp {
        HangUp(self.left.clone())
    }

    /// Takes a request in hand, for as long as the result lives; `None` when it is too late.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Arc<InHand>> {
        let mut state = self.state();
        if self.left.is_cancelled() {
            return None;
        }
        state.open += 1;
        state.update();
        Some(Arc::new(InHand { member: Arc::clone(self), whole: AtomicBool::new(false) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request of a connection.
#[derive(Debug)]
pub(crate) struct InHand {
    member: Arc<Member>,
    whole: AtomicBool,
}

impl InHand {
    /// Its body, which tells when it is complete.
    pub(crate) fn body(self: &Arc<Self>, body: Incoming) -> Tracked {
        let tracked = Tracked { body, request: Arc::clone(self) };
        if tracked.body.is_end_stream() {
            tracked.request.arrived();
        }
        tracked
    }

    fn arrived(&self) {
        if !self.whole.swap(true, Ordering::Relaxed) {
            let mut state = self.member.state();
            state.whole += 1;
            state.update();
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut state = self.member.state();
        state.open -= 1;
        state.whole -= usize::from(*self.whole.get_mut());
        state.update();
    }
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Tracked {
    body: Incoming,
    request: Arc<InHand>,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.request.arrived();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn left(members: &[Arc<Member>]) -> Vec<usize> {
        let left = members.iter().enumerate().filter(|(_, member)| member.left.is_cancelled());
        left.map(|(position, _)| position).collect()
    }

    /// A connection with a request that is complete.
    fn busy(crowd: &mut Crowd) -> (Arc<Member>, Arc<InHand>) {
        let member = crowd.join();
        let request = member.begin().unwrap();
        request.arrived();
        (member, request)
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_useful_leaves_first_and_one_at_a_time() {
        let mut crowd = Crowd::default();
        let mut members = Vec::new();
        for _ in 0..5 {
            members.push(crowd.join());
            advance(Duration::from_millis(1)).await;
        }
        // 0 waits for a body, 1 and 2 have had a request, 3 and 4 have had none.
        let arriving = members[0].begin().unwrap();
        drop(members[2].begin().unwrap());
        advance(Duration::from_millis(1)).await;
        drop(members[1].begin().unwrap());
        let mut requests = Vec::new();
        for next in [3, 4, 2, 1, 0] {
            crowd.make_room();
            if next == 2 {
                assert!(left(&members).is_empty(), "the others have just been used");
                advance(GRACE).await;
                crowd.make_room();
            }
            crowd.make_room();
            assert_eq!(left(&members), [next]);
            assert!(members[next].begin().is_none(), "it is too late for a request");
            let (member, request) = busy(&mut crowd);
            members[next] = member;
            requests.push(request);
        }
        drop(arriving);
        advance(GRACE * 100).await;
        crowd.make_room();
        assert!(left(&members).is_empty(), "requests that are complete stay");
        requests.pop();
        crowd.make_room();
        assert!(left(&members).is_empty(), "an answer may be on its way");
        advance(GRACE).await;
        crowd.make_room();
        assert_eq!(left(&members), [0]);
    }

    /// However often their clients ask.
    #[tokio::test(start_paused = true)]
    async fn nobody_keeps_others_out_for_good() {
        let mut crowd = Crowd::default();
        let mut members: Vec<_> = (0..3).map(|_| crowd.join()).collect();
        let _busy = busy(&mut crowd);
        let begin = Instant::now();
        while left(&members).is_empty() {
            drop(members[1].begin().unwrap());
            drop(members[0].begin().unwrap());
            drop(members[2].begin().unwrap());
            let arriving = members[2].begin().unwrap();
            crowd.make_room();
            assert!(left(&members).is_empty(), "answers are on their way");
            advance(MOMENT).await;
            crowd.make_room();
            drop(arriving);
            assert!(begin.elapsed() < GRACE);
        }
        assert!(begin.elapsed() >= PATIENCE);
        assert_eq!(left(&members), [0]);
        // Who waits next has waited as long.
        let arriving = members[2].begin().unwrap();
        let mut requests = Vec::new();
        for place in [0, 1] {
            let (member, request) = busy(&mut crowd);
            members[place] = member;
            requests.push(request);
            advance(MOMENT).await;
            crowd.make_room();
            assert_eq!(left(&members), [[1], [2]][place]);
        }
        drop(arriving);
        members[2] = crowd.join();
        drop(members[2].begin().unwrap());
        advance(GRACE).await;
        drop(members[2].begin().unwrap());
        advance(MOMENT * 2).await;
        crowd.make_room();
        assert!(left(&members).is_empty(), "nobody was waiting meanwhile");
    }
}
