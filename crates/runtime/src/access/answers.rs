//! Each question is asked once: who asks it while it is on its way waits for the same answer, and
//! the answer is kept for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::{sync::OnceCell, time::Instant};

use super::{
    judge::Answer,
    kept::{Kept, Key},
    reviews::Unanswered,
};

/// A question that is on its way, and its answer once it is there.
type Asked<T> = OnceCell<Result<T, Unanswered>>;

/// What the API server has answered lately, and what it is being asked.
#[derive(Debug)]
pub(super) struct Answers<T> {
    kept: Mutex<Kept<T>>,
    /// Gone when nobody waits for it any more.
    asked: Mutex<HashMap<Key, Weak<Asked<T>>>>,
}

impl<T: Answer> Answers<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { kept: Mutex::new(Kept::new(capacity)), asked: Mutex::default() }
    }

    /// The answer under `key`: the one that is kept, the one that somebody waits for, or that of
    /// `ask`, which is kept for as long as it lasts. Failures are not.
    pub(super) async fn get(
        &self,
        key: Key,
        ask: impl Future<Output = Result<T, Unanswered>>,
    ) -> Result<T, Unanswered> {
        let asked = match self.find(key) {
            Found::Kept(answer) => return Ok(answer),
            Found::Asked(asked) => asked,
        };
        // If the one who asks leaves, the next of those who wait does.
        let answer = asked.get_or_init(|| async {
            let answer = ask.await;
            if let Ok(answer) = &answer
                && !answer.lasts().is_zero()
            {
                let now = Instant::now();
                locked(&self.kept).insert(key, answer.clone(), now + answer.lasts(), now);
            }
            answer
        });
        answer.await.clone()
    }

    /// An answer is kept before its question is gone from those on their way, so that one or the
    /// other is found.
    fn find(&self, key: Key) -> Found<T> {
        let mut all = locked(&self.asked);
        if let Some(answer) = locked(&self.kept).get(&key, Instant::now()) {
            return Found::Kept(answer);
        }
        if let Some(asked) = all.get(&key).and_then(Weak::upgrade) {
            return Found::Asked(asked);
        }
        all.retain(|_, asked| asked.strong_count() > 0);
        let asked = Arc::new(Asked::new());
        all.insert(key, Arc::downgrade(&asked));
        Found::Asked(asked)
    }
}

enum Found<T> {
    Kept(T),
    Asked(Arc<Asked<T>>),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use futures::{FutureExt as _, future::join_all};
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::access::kept::key;

    const SECOND: Duration = Duration::from_secs(1);

    /// It counts for so many seconds.
    impl Answer for u8 {
        fn lasts(&self) -> Duration {
            u32::from(*self) * SECOND
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_its_time() {
        let answers = Answers::new(8);
        let ask = |answer| answers.get(key(b"a"), async move { Ok(answer) });
        assert_eq!(ask(10).await.unwrap(), 10);
        advance(9 * SECOND).await;
        assert_eq!(ask(20).await.unwrap(), 10);
        advance(SECOND).await;
        assert_eq!(ask(30).await.unwrap(), 30);
        let other = answers.get(key(b"b"), async { Ok(40) });
        assert_eq!(other.await.unwrap(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_the_same_at_the_same_time_gets_the_same_answer() {
        let (answers, asked) = (Answers::new(8), AtomicUsize::new(0));
        for outcome in [Err(Unanswered::TimedOut { what: "w" }), Ok(0)] {
            let ask = |_| {
                let outcome = outcome.clone();
                answers.get(key(b"a"), async {
                    asked.fetch_add(1, Ordering::Relaxed);
                    sleep(SECOND).await;
                    outcome
                })
            };
            let same = join_all((0..50).map(ask)).await;
            assert!(same.iter().all(|it| it.is_ok() == outcome.is_ok()), "{same:?}");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2, "neither failure nor answer was kept");
        assert!(answers.get(key(b"a"), pending()).now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_one_who_asks_leaves_the_next_one_does() {
        let answers = Answers::new(8);
        let mut first = Box::pin(answers.get(key(b"a"), pending()));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(answers.get(key(b"a"), async { Ok(5) }));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert_eq!(second.await.unwrap(), 5);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_forgotten() {
        let answers = Answers::<u8>::new(8);
        for number in 0..100_u8 {
            assert!(answers.get(key(&[number]), pending()).now_or_never().is_none());
        }
        assert_eq!(locked(&answers.asked).len(), 1);
    }
}
