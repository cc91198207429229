//! Reviews of all kinds for the webhook, on connections that come and go.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Result;
use lws_harness::wait;

use super::samples::Samples;
use crate::admission::load::Clients;
use crate::admission::reviews::Review;
use crate::admission::webhook::Webhook;
use crate::process::Measured;

/// Connections at a time, each with one request in flight.
const CONNECTIONS: usize = 16;

/// Looks at the process: each after reviews of every kind, on connections of their own. There is one for so many reviews,
/// within limits.
const REVIEWS_A_LOOK: u32 = 5_000;
const LOOKS: RangeInclusive<u32> = 8..=100;

/// How long the webhook may take to close connections that its clients have closed.
const DEADLINE: Duration = Duration::from_secs(10);

/// Has a webhook answer so many reviews, and gives what it had meanwhile.
pub(super) async fn run(admissions: u32) -> Result<Samples> {
    let webhook = Webhook::start().await?;
    let process = webhook.measured();
    // What is opened with the first connection stays open.
    answer(&webhook, 1).await?;
    let mut samples = Samples::default();
    closed(process).await?;
    samples.look(process, 0)?;
    let kinds = u32::try_from(Review::ALL.len())?;
    let looks = (admissions / REVIEWS_A_LOOK).clamp(*LOOKS.start(), *LOOKS.end());
    let each = admissions.div_ceil(looks * kinds);
    let mut done = 0;
    while done < admissions {
        answer(&webhook, usize::try_from(each)?).await?;
        done += each * kinds;
        closed(process).await?;
        samples.look(process, done)?;
    }
    webhook.stop().await?;
    Ok(samples)
}

/// Has the webhook answer so many reviews of each kind.
async fn answer(webhook: &Webhook, each: usize) -> Result<()> {
    for review in Review::ALL {
        let mut clients = Clients::connect(webhook, CONNECTIONS, review).await?;
        clients.send(each).await?;
    }
    Ok(())
}

/// Waits until no connection is open any more.
async fn closed(process: Measured) -> Result<()> {
    let open = async || process.open_connections();
    wait::until(DEADLINE, "all connections are closed", open, |open| *open == 0).await?;
    Ok(())
}
