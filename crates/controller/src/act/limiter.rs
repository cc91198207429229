//! The rate at which this process makes requests (`clientConnection` of the configuration).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Lets requests through at a steady rate, some of them at once.
#[derive(Debug)]
pub struct Limiter {
    interval: Duration,
    /// By how much requests may be ahead of the steady rate.
    slack: Duration,
    /// When the next request is due at the steady rate.
    due: Mutex<Instant>,
}

impl Limiter {
    /// `qps` requests a second in the long run, `burst` of them at once. Both above 0.
    #[must_use]
    pub fn new(qps: f64, burst: u32) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / qps).unwrap_or_default();
        let slack = interval.saturating_mul(burst.saturating_sub(1));
        Self { interval, slack, due: Mutex::new(Instant::now()) }
    }

    /// Waits for the caller's turn. Turns are given in the order of the calls.
    pub async fn turn(&self) {
        let now = Instant::now();
        let at = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*due).max(now);
            *due = at + self.interval;
            at
        };
        if at > now + self.slack {
            sleep_until(at - self.slack).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let limiter = Limiter::new(10.0, 3);
        let begun = Instant::now();
        let mut turns = Vec::new();
        for _ in 0..6 {
            limiter.turn().await;
            turns.push(begun.elapsed().as_millis());
        }
        assert_eq!(turns, [0, 0, 0, 100, 200, 300]);
        tokio::time::advance(Duration::from_mins(1)).await;
        let begun = Instant::now();
        for _ in 0..4 {
            limiter.turn().await;
        }
        assert_eq!(begun.elapsed().as_millis(), 100, "unused turns are not saved beyond a burst");
    }
}
