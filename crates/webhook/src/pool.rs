//! A pool of memory, as a number of bytes. Room of what is waited for, the rest of a body, the
//! reader of an answer or more room, is lent: it is called back when others need it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lws_runtime::http_server::GRACE;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::review::Refusal;

/// What is counted in.
pub(crate) const UNIT: usize = 1024;

/// How long is waited for room. All loans that are in the way can be called back before that.
const WAIT_FOR_ROOM: Duration = GRACE.saturating_mul(2);

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Arc<Semaphore>,
    loans: Mutex<Loans>,
}

/// When something was lent; one number distinguishes what was lent at the same time.
type Key = (Instant, u64);

/// What a pool has lent, and how much of it is needed elsewhere, in units.
#[derive(Debug, Default)]
struct Loans {
    /// Those that have not been called back, the oldest first.
    open: BTreeMap<Key, Open>,
    next: u64,
    /// Called back, but not returned yet.
    returning: usize,
    /// What all want who wait for room.
    wanted: usize,
}

#[derive(Debug)]
struct Open {
    units: usize,
    recall: CancellationToken,
}

/// A part of a pool, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    // Returned before the loan counts as returned.
    permits: OwnedSemaphorePermit,
    loan: Option<Loan>,
    pool: Arc<Pool>,
}

/// That room is lent.
#[derive(Debug)]
struct Loan {
    pool: Arc<Pool>,
    key: Key,
    units: usize,
    recall: CancellationToken,
}

/// That somebody waits for room.
struct Wanted<'a> {
    pool: &'a Pool,
    units: usize,
}

impl Pool {
    /// A pool of so many bytes.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(bytes / UNIT));
        Arc::new(Self { free, loans: Mutex::default() })
    }

    /// Waits for room for `bytes`, but not for long.
    pub(crate) async fn room(self: &Arc<Self>, bytes: usize) -> Result<Room, Refusal> {
        let permits = self.permits(units(bytes), None).await?;
        Ok(Room { permits, loan: None, pool: Arc::clone(self) })
    }

    /// Waits for so many units, calling back what is lent except for the loan `own`.
    async fn permits(
        &self,
        units: usize,
        own: Option<Key>,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        if let Some(permits) = self.permits_now(units) {
            return Ok(permits);
        }
        let _wanted = Wanted::new(self, units);
        let granted = async {
            let permits = Arc::clone(&self.free).acquire_many_owned(count(units));
            tokio::pin!(permits);
            loop {
                // What the first in line has been given already is not free: at most that much more
                // than needed is called back.
                let next = self.loans().call_back(self.free.available_permits(), own);
                tokio::select! {
                    biased;
                    permits = &mut permits => return permits.ok(),
                    () = sleep_until(next) => {}
                }
            }
        };
        timeout(WAIT_FOR_ROOM, granted).await.ok().flatten().ok_or_else(Refusal::unavailable)
    }

    fn permits_now(&self, units: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(count(units)).ok()
    }

    fn loans(&self) -> MutexGuard<'_, Loans> {
        // Nothing panics between two changes that belong together.
        self.loans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that nobody has.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free.available_permits() * UNIT
    }
}

impl Loans {
    /// Calls back the oldest loans but `own`, until those who wait for room can have it. Gives the
    /// time at which there may be more to call back.
    fn call_back(&mut self, free: usize, own: Option<Key>) -> Instant {
        let now = Instant::now();
        while free + self.returning < self.wanted {
            let Some(key) = self.open.keys().find(|key| Some(**key) != own).copied() else { break };
            let due = key.0 + GRACE;
            if due > now {
                return due;
            }
            if let Some(Open { units, recall }) = self.open.remove(&key) {
                self.returning += units;
                recall.cancel();
            }
        }
        now + GRACE
    }
}

impl Room {
    /// Gives it at least `bytes`, of `pool` where it has less; waits for them, but not for long.
    pub(crate) async fn grow(&mut self, pool: &Arc<Pool>, bytes: usize) -> Result<(), Refusal> {
        let missing = self.missing(pool, bytes);
        if missing > 0 {
            // Keys of another pool mean other loans.
            let own = self.loan.as_ref().filter(|loan| Arc::ptr_eq(&loan.pool, pool));
            let own = own.map(|loan| loan.key);
            let permits = self.unless_called_back(pool.permits(missing, own)).await??;
            self.add(pool, permits);
        }
        Ok(())
    }

    /// Gives it at least `bytes`, of `pool` where it has less, if there is so much right now.
    pub(crate) fn grow_now(&mut self, pool: &Arc<Pool>, bytes: usize) -> bool {
        let missing = self.missing(pool, bytes);
        if missing == 0 {
            return true;
        }
        let permits = pool.permits_now(missing);
        permits.map(|permits| self.add(pool, permits)).is_some()
    }

    /// The bytes of it.
    pub(crate) fn bytes(&self) -> usize {
        self.permits.num_permits() * UNIT
    }

    /// Returns what it has beyond `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let excess = self.permits.num_permits().saturating_sub(units(bytes));
        drop(self.permits.split(excess));
        self.update_loan();
    }

    /// Counts as lent from now on. When others need it, `recall` is cancelled, and the room is
    /// expected to be dropped soon.
    pub(crate) fn lend(&mut self, recall: CancellationToken) {
        self.loan = Some(Loan::new(&self.pool, Instant::now(), self.permits.num_permits(), recall));
    }

    /// Counts no longer as lent. Fails when it has been called back.
    pub(crate) fn settle(&mut self) -> Result<(), Refusal> {
        match self.loan.take() {
            Some(loan) if loan.recall.is_cancelled() => Err(Refusal::called_back()),
            _ => Ok(()),
        }
    }

    /// The result of `step`, unless the room is called back before.
    pub(crate) async fn unless_called_back<T>(
        &self,
        step: impl Future<Output = T>,
    ) -> Result<T, Refusal> {
        let Some(loan) = &self.loan else { return Ok(step.await) };
        tokio::select! {
            biased;
            () = loan.recall.cancelled() => Err(Refusal::called_back()),
            result = step => Ok(result),
        }
    }

    /// Units that it lacks: nothing is moved to another pool that need not grow.
    fn missing(&self, pool: &Arc<Pool>, bytes: usize) -> usize {
        let (units, held) = (units(bytes), self.permits.num_permits());
        if held >= units {
            0
        } else if Arc::ptr_eq(pool, &self.pool) {
            units - held
        } else {
            units
        }
    }

    /// Takes what it lacked.
    fn add(&mut self, pool: &Arc<Pool>, permits: OwnedSemaphorePermit) {
        if Arc::ptr_eq(pool, &self.pool) {
            self.permits.merge(permits);
            return self.update_loan();
        }
        self.permits = permits;
        self.pool = Arc::clone(pool);
        self.loan = self.loan.take().map(|loan| {
            Loan::new(pool, loan.key.0, self.permits.num_permits(), loan.recall.clone())
        });
    }

    fn update_loan(&mut self) {
        let Some(loan) = &mut self.loan else { return };
        // One that has been called back counts as it was then.
        if let Some(open) = self.pool.loans().open.get_mut(&loan.key) {
            open.units = self.permits.num_permits();
            loan.units = open.units;
        }
    }
}

impl Loan {
    fn new(pool: &Arc<Pool>, since: Instant, units: usize, recall: CancellationToken) -> Self {
        let mut loans = pool.loans();
        let key = (since, loans.next);
        loans.next += 1;
        loans.open.insert(key, Open { units, recall: recall.clone() });
        Self { pool: Arc::clone(pool), key, units, recall }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut loans = self.pool.loans();
        if loans.open.remove(&self.key).is_none() {
            loans.returning -= self.units;
        }
    }
}

impl<'a> Wanted<'a> {
    fn new(pool: &'a Pool, units: usize) -> Self {
        pool.loans().wanted += units;
        Self { pool, units }
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.pool.loans().wanted -= self.units;
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).max(1)
}

/// More than there can be is waited for in vain.
fn count(units: usize) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;
    use tokio::time::sleep;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    /// A pool of ten units.
    fn ten() -> Arc<Pool> {
        Pool::new(10 * UNIT)
    }

    /// Room for so many units, which is lent, and what it is called back by.
    async fn lent(pool: &Arc<Pool>, units: usize) -> (Room, CancellationToken) {
        let recall = CancellationToken::new();
        let mut room = pool.room(units * UNIT).await.unwrap();
        room.lend(recall.clone());
        sleep(MOMENT).await;
        (room, recall)
    }

    fn waiting(pool: &Arc<Pool>, units: usize) -> JoinHandle<Result<Room, Refusal>> {
        let pool = Arc::clone(pool);
        tokio::spawn(async move { pool.room(units * UNIT).await })
    }

    /// Nothing is held, and nothing is thought to be.
    fn assert_whole(pool: &Pool) {
        let loans = pool.loans();
        assert_eq!((pool.free(), loans.open.len()), (10 * UNIT, 0));
        assert_eq!((loans.returning, loans.wanted), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_called_back_than_is_wanted_and_the_oldest_first() {
        let pool = ten();
        let (first, first_recall) = lent(&pool, 3).await;
        let (second, second_recall) = lent(&pool, 4).await;
        let (third, third_recall) = lent(&pool, 3).await;
        let recalls = [first_recall, second_recall, third_recall];
        let called = || recalls.each_ref().map(CancellationToken::is_cancelled);
        let (one, other) = (waiting(&pool, 4), waiting(&pool, 2));
        sleep(GRACE / 2).await;
        assert_eq!(called(), [false, false, false], "they are young");
        sleep(GRACE).await;
        assert_eq!(called(), [true, true, false]);
        assert!(!one.is_finished() && !other.is_finished());
        drop(first);
        drop(second);
        let rooms = [one.await.unwrap().unwrap(), other.await.unwrap().unwrap()];
        assert_eq!(pool.free(), UNIT);
        let late = pool.room(2 * UNIT);
        tokio::pin!(late);
        assert!(futures::poll!(&mut late).is_pending());
        assert_eq!(called(), [true, true, true]);
        drop(third);
        drop((late.await.unwrap(), rooms));
        assert_whole(&pool);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_lent_stays() {
        let pool = ten();
        let (mut room, recall) = lent(&pool, 10).await;
        room.settle().unwrap();
        assert_eq!(pool.room(UNIT).await.unwrap_err(), Refusal::unavailable());
        assert!(!recall.is_cancelled());
        let waiting = waiting(&pool, 10);
        tokio::task::yield_now().await;
        drop(room);
        drop(waiting.await.unwrap().unwrap());
        assert_whole(&pool);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_too_late_to_complete_what_has_been_called_back() {
        let pool = ten();
        let (mut room, _) = lent(&pool, 10).await;
        sleep(GRACE).await;
        let waiting = waiting(&pool, 1);
        let called_back = room.unless_called_back(std::future::pending::<()>()).await;
        assert_eq!(called_back.unwrap_err(), Refusal::called_back());
        assert_eq!(room.settle().unwrap_err(), Refusal::called_back());
        drop(room);
        drop(waiting.await.unwrap().unwrap());
        assert_whole(&pool);
    }

    /// Each has what the other waits for.
    #[tokio::test(start_paused = true)]
    async fn of_those_that_grow_one_gives_way() {
        let pool = ten();
        let grow = async |(mut room, _): (Room, CancellationToken)| {
            let grown = room.grow(&pool, 8 * UNIT).await;
            (grown, room.bytes())
        };
        let (one, other) = (lent(&pool, 5).await, lent(&pool, 5).await);
        let (one, other) = tokio::join!(grow(one), grow(other));
        assert_eq!(one, (Err(Refusal::called_back()), 5 * UNIT));
        assert_eq!(other, (Ok(()), 8 * UNIT));
        assert_whole(&pool);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_grown_is_called_back_whole() {
        let (small, pool) = (ten(), ten());
        let (mut room, recall) = lent(&small, 1).await;
        sleep(GRACE).await;
        room.grow(&pool, 2 * UNIT).await.unwrap();
        assert_whole(&small);
        assert!(room.grow_now(&pool, 9 * UNIT));
        assert!(!room.grow_now(&pool, 11 * UNIT));
        assert_eq!((room.bytes(), pool.free()), (9 * UNIT, UNIT));
        // It is as old as before it moved.
        let waiting = waiting(&pool, 10);
        tokio::task::yield_now().await;
        assert!(recall.is_cancelled());
        drop(room);
        drop(waiting.await.unwrap().unwrap());
        assert_whole(&pool);
    }

    /// Loans of two pools may have the same key.
    #[tokio::test(start_paused = true)]
    async fn what_moves_spares_nothing_of_the_other_pool() {
        let (small, pool) = (ten(), ten());
        let ((mut room, _), (other, recall)) = tokio::join!(lent(&small, 1), lent(&pool, 10));
        assert_eq!(room.loan.as_ref().unwrap().key, other.loan.as_ref().unwrap().key);
        let grow = tokio::spawn(async move { room.grow(&pool, UNIT * 2).await.map(|()| room) });
        sleep(GRACE * 3 / 2).await;
        assert!(recall.is_cancelled());
        drop(other);
        grow.await.unwrap().unwrap();
    }
}
