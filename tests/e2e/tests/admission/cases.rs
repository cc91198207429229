//! Plays the rows of a table.

use anyhow::{Result, ensure};
use futures::StreamExt as _;

/// How many cases are played at a time.
const AT_A_TIME: usize = 16;

/// Plays all `cases`; the error lists every one that went wrong, so `play` says which one it was.
pub(crate) async fn each<C>(
    cases: impl IntoIterator<Item = C>,
    play: impl AsyncFn(C) -> Result<()>,
) -> Result<()> {
    let mut outcomes =
        futures::stream::iter(cases).map(|case| play(case)).buffer_unordered(AT_A_TIME);
    let (mut played, mut failures) = (0, Vec::new());
    while let Some(outcome) = outcomes.next().await {
        played += 1;
        failures.extend(outcome.err().map(|error| format!("{error:#}")));
    }
    failures.sort();
    ensure!(failures.is_empty(), "{} of {played} cases:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}
