//! Waiting for a condition, with a deadline and an error that says what was seen last.

use std::fmt::{Debug, Display};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::{Error, Result};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks every 50 ms until `probe` answers `Some`, and gives that value.
///
/// `None` and errors mean "not yet". After `deadline` the error carries `description` and the last error, so a probe that
/// wants its observation to be seen answers `Err` with it (or uses [`until`]). A probe that hangs is cut off at the deadline.
pub async fn eventually<T, E, F>(deadline: Duration, description: &str, mut probe: F) -> Result<T>
where
    E: Display,
    F: AsyncFnMut() -> std::result::Result<Option<T>, E>,
{
    let end = Instant::now() + deadline;
    let mut last = "nothing".to_owned();
    loop {
        match timeout(end.saturating_duration_since(Instant::now()), probe()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => "the condition is not met".clone_into(&mut last),
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => last = format!("{last}; the last look did not end"),
        }
        if Instant::now() + INTERVAL >= end {
            return Err(Error::Timeout { what: description.to_owned(), waited: deadline, last });
        }
        sleep(INTERVAL).await;
    }
}

/// Looks every 50 ms until `accept` is true of what `observe` answers, and gives that observation.
///
/// After `deadline` the error carries the last observation.
pub async fn until<T, E, F, P>(
    deadline: Duration,
    description: &str,
    mut observe: F,
    accept: P,
) -> Result<T>
where
    T: Debug,
    E: Display,
    F: AsyncFnMut() -> std::result::Result<T, E>,
    P: Fn(&T) -> bool,
{
    eventually(deadline, description, async || {
        let seen = observe().await.map_err(|error| format!("{error:#}"))?;
        if accept(&seen) { Ok(Some(seen)) } else { Err(format!("{seen:?}")) }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gives_the_value_once_it_is_there() {
        let mut looks = 0;
        let value = eventually(Duration::from_secs(1), "three looks", async || {
            looks += 1;
            Ok::<_, Error>((looks == 3).then_some(looks))
        })
        .await;
        assert_eq!(value.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn says_what_was_seen_last() {
        let mut pods = 0;
        let error = until(
            Duration::from_secs(1),
            "five pods",
            async || {
                pods = 3.min(pods + 1);
                Ok::<_, Error>(pods)
            },
            |pods| *pods == 5,
        )
        .await
        .unwrap_err();
        assert_eq!(error.to_string(), "not within 1s: five pods; last seen: 3");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_is_cut_off() {
        let probe = async || std::future::pending::<std::result::Result<Option<()>, Error>>().await;
        let error = eventually(Duration::from_secs(1), "an answer", probe).await.unwrap_err();
        assert!(error.to_string().contains("the last look did not end"), "{error}");
    }
}
