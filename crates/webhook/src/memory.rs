//! Memory for the bodies of reviews and the answers to them. Together they may take so much and no
//! more, whatever clients send and however slowly they read. What tells that a request has not been
//! read, in less than 2 KiB, is not counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::pool::Pool;
pub(crate) use crate::pool::Room;
use crate::review::Refusal;

/// Largest size of what counts as small, as nearly all reviews and answers are: a pod with two
/// containers takes 6 kB. They have room of their own, and never wait for large ones.
pub(crate) const SMALL: usize = 32 * 1024;

/// All small bodies and answers: one for each of the connections that a server takes.
const SMALL_ROOM: usize = 1024 * SMALL;

/// All large ones: four bodies of the largest size.
const LARGE_ROOM: usize = 28 * 1024 * 1024;

/// How long a large body waits for its turn: a review takes milliseconds, so that it is not short
/// by accident after that.
const WAIT_FOR_TURN: Duration = Duration::from_secs(1);

/// The turn of a large body, until it is dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// The room that there is.
#[derive(Debug)]
pub(crate) struct Memory {
    small: Arc<Pool>,
    large: Arc<Pool>,
    turn: Arc<Mutex<()>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { small: Pool::new(SMALL_ROOM), large: Pool::new(LARGE_ROOM), turn: Arc::default() }
    }
}

impl Memory {
    /// Waits for room for `bytes`, but not for long.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room, Refusal> {
        self.pool(bytes).room(bytes).await
    }

    /// Makes `room` one for `bytes` at least; waits for more, but not for long.
    pub(crate) async fn enlarge(&self, room: &mut Room, bytes: usize) -> Result<(), Refusal> {
        room.grow(self.pool(bytes), bytes).await
    }

    /// Makes `room` one for `bytes`, if there is so much right now. What is small keeps a little
    /// more.
    pub(crate) fn resize(&self, room: &mut Room, bytes: usize) -> bool {
        if room.bytes() > SMALL {
            room.shrink(bytes);
        }
        room.grow_now(self.pool(bytes), bytes)
    }

    /// The turn of a body: large ones are judged one after the other, because a decision may take
    /// a multiple of the body. Small ones need none.
    pub(crate) async fn turn(&self, bytes: usize) -> Result<Option<Turn>, Refusal> {
        if bytes <= SMALL {
            return Ok(None);
        }
        let turn = Arc::clone(&self.turn).lock_owned();
        let turn = tokio::time::timeout(WAIT_FOR_TURN, turn).await;
        turn.map(Some).map_err(|_| Refusal::unavailable())
    }

    fn pool(&self, bytes: usize) -> &Arc<Pool> {
        if bytes <= SMALL { &self.small } else { &self.large }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BODY_LIMIT;
    use crate::pool::UNIT;

    #[tokio::test(start_paused = true)]
    async fn large_ones_do_not_keep_small_ones_waiting() {
        let memory = Memory::default();
        let mut large = Vec::new();
        while let Ok(room) = memory.room(BODY_LIMIT).await {
            large.push(room);
        }
        assert_eq!(large.len(), 4);
        let mut small = memory.room(SMALL).await.unwrap();
        assert!(!memory.resize(&mut small, SMALL + 1));
        assert_eq!(
            memory.enlarge(&mut small, SMALL + 1).await.unwrap_err(),
            Refusal::unavailable()
        );
        large.pop();
        assert!(memory.resize(&mut small, SMALL + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_given_back() {
        let memory = Memory::default();
        let free = || (memory.small.free(), memory.large.free());
        let mut room = memory.room(BODY_LIMIT).await.unwrap();
        assert_eq!(free(), (SMALL_ROOM, LARGE_ROOM - BODY_LIMIT));
        assert!(memory.resize(&mut room, 100));
        assert_eq!(free(), (SMALL_ROOM, LARGE_ROOM - UNIT));
        drop(room);
        let mut room = memory.room(0).await.unwrap();
        assert_eq!(free(), (SMALL_ROOM - UNIT, LARGE_ROOM));
        memory.enlarge(&mut room, 5 * UNIT).await.unwrap();
        assert_eq!(free(), (SMALL_ROOM - 5 * UNIT, LARGE_ROOM));
        assert!(memory.resize(&mut room, 2 * UNIT));
        assert_eq!(free(), (SMALL_ROOM - 5 * UNIT, LARGE_ROOM), "small ones keep it");
        assert!(memory.resize(&mut room, SMALL + UNIT));
        assert_eq!(free(), (SMALL_ROOM, LARGE_ROOM - SMALL - UNIT));
        drop(room);
        assert_eq!(free(), (SMALL_ROOM, LARGE_ROOM));
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
}
