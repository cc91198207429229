//! Memory for the bodies of reviews and the answers to them. Together they may take so much and no
//! more, whatever clients send and however slowly they read.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::review::Refusal;

/// Largest size of what counts as small, as nearly all reviews and answers are: a pod with two
/// containers takes 6 kB. They have room of their own, and never wait for large ones.
pub(crate) const SMALL: usize = 32 * 1024;

/// All small bodies and answers: one for each of the connections that a server takes.
const SMALL_ROOM: usize = 1024 * SMALL;

/// All large ones: four bodies of the largest size.
const LARGE_ROOM: usize = 28 * 1024 * 1024;

/// What is counted in.
const UNIT: usize = 1024;

/// How long a review waits for room: a review takes milliseconds, so that it is not short by
/// accident after that.
const PATIENCE: Duration = Duration::from_secs(1);

/// The room that there is.
#[derive(Debug)]
pub(crate) struct Memory {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    turn: Mutex<()>,
}

/// A part of the memory, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room(OwnedSemaphorePermit);

impl Default for Memory {
    fn default() -> Self {
        Self {
            small: Arc::new(Semaphore::new(SMALL_ROOM / UNIT)),
            large: Arc::new(Semaphore::new(LARGE_ROOM / UNIT)),
            turn: Mutex::default(),
        }
    }
}

impl Memory {
    /// Waits for room for `bytes`, but not for long.
    pub(crate) async fn wait_for(&self, bytes: usize) -> Result<Room, Refusal> {
        let permits = Arc::clone(self.room(bytes)).acquire_many_owned(units(bytes));
        match tokio::time::timeout(PATIENCE, permits).await {
            Ok(Ok(permits)) => Ok(Room(permits)),
            Ok(Err(_)) | Err(_) => Err(Refusal::unavailable()),
        }
    }

    /// Makes `room` one for `bytes`, if there is so much right now.
    pub(crate) fn resize(&self, mut room: Room, bytes: usize) -> Result<Room, Refusal> {
        let wanted = units(bytes);
        let held = room.0.num_permits();
        let excess = held.checked_sub(usize::try_from(wanted).unwrap_or(usize::MAX));
        if let Some(excess) = excess {
            drop(room.0.split(excess));
            return Ok(room);
        }
        let permits = Arc::clone(self.room(bytes)).try_acquire_many_owned(wanted);
        permits.map(Room).map_err(|_| Refusal::unavailable())
    }

    /// The turn of a body: large ones are judged one after the other, because a decision may take
    /// a multiple of the body. Small ones need none.
    pub(crate) async fn turn(&self, bytes: usize) -> Result<Option<MutexGuard<'_, ()>>, Refusal> {
        if bytes <= SMALL {
            return Ok(None);
        }
        let turn = tokio::time::timeout(PATIENCE, self.turn.lock()).await;
        turn.map(Some).map_err(|_| Refusal::unavailable())
    }

    fn room(&self, bytes: usize) -> &Arc<Semaphore> {
        if bytes <= SMALL { &self.small } else { &self.large }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BODY_LIMIT;

    #[tokio::test(start_paused = true)]
    async fn large_ones_do_not_keep_small_ones_waiting() {
        let memory = Memory::default();
        let mut large = Vec::new();
        while let Ok(room) = memory.wait_for(BODY_LIMIT).await {
            large.push(room);
        }
        assert_eq!(large.len(), 4);
        let small = memory.wait_for(SMALL).await.unwrap();
        assert_eq!(memory.resize(small, SMALL + 1).unwrap_err(), Refusal::unavailable());
        large.pop();
        memory.wait_for(SMALL + 1).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_given_back() {
        let memory = Memory::default();
        let small = || memory.small.available_permits() * UNIT;
        let large = || memory.large.available_permits() * UNIT;
        let body = memory.wait_for(BODY_LIMIT).await.unwrap();
        assert_eq!((small(), large()), (SMALL_ROOM, LARGE_ROOM - BODY_LIMIT));
        let answer = memory.resize(body, 100).unwrap();
        assert_eq!((small(), large()), (SMALL_ROOM, LARGE_ROOM - UNIT));
        drop(answer);
        let body = memory.wait_for(0).await.unwrap();
        assert_eq!((small(), large()), (SMALL_ROOM - UNIT, LARGE_ROOM));
        let answer = memory.resize(body, SMALL + UNIT).unwrap();
        assert_eq!((small(), large()), (SMALL_ROOM, LARGE_ROOM - SMALL - UNIT));
        drop(answer);
        assert_eq!((small(), large()), (SMALL_ROOM, LARGE_ROOM));
    }

    #[tokio::test(start_paused = true)]
    async fn large_ones_take_turns() {
        let memory = Memory::default();
        let turn = memory.turn(SMALL + 1).await.unwrap();
        assert!(turn.is_some());
        assert!(memory.turn(SMALL).await.unwrap().is_none());
        assert_eq!(memory.turn(SMALL + 1).await.unwrap_err(), Refusal::unavailable());
        drop(turn);
        assert!(memory.turn(SMALL + 1).await.unwrap().is_some());
    }

    /// Whoever waits gets the room of the one that ends.
    #[tokio::test(start_paused = true)]
    async fn room_is_waited_for() {
        let memory = Arc::new(Memory::default());
        let all = memory.wait_for(LARGE_ROOM).await.unwrap();
        let waiting = Arc::clone(&memory);
        let waiting = tokio::spawn(async move { waiting.wait_for(BODY_LIMIT).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(all);
        waiting.await.unwrap().unwrap();
    }
}
