//! Watches that break, lag behind, or are told that they are too old.

use std::time::Duration;

use anyhow::Result;
use lws_e2e::{CONTROLLER, DEADLINE};
use lws_harness::proxy::{Effect, Failure, Proxy, Rule};
use lws_harness::wait;
use tokio::time::sleep;

use crate::life::Life;
use crate::{add, environment, namespace, with_proxy};

/// The resources that are watched.
const WATCHED: [&str; 5] =
    ["leaderworkersets", "statefulsets", "pods", "services", "controllerrevisions"];

/// Lives through everything while `disturb` is done again and again.
async fn survives(disturb: impl AsyncFn(usize) -> Result<()>) -> Result<()> {
    let namespace = namespace().await?;
    let disturbed = async {
        for round in 0.. {
            disturb(round).await?;
        }
        anyhow::bail!("disturbed often enough")
    };
    let life = tokio::select! {
        life = Life::live(&namespace) => life?,
        ended = disturbed => return ended,
    };
    life.judge().await
}

#[tokio::test]
async fn watches_that_break_all_the_time_are_survived() -> Result<()> {
    survives(async |_| {
        with_proxy(Proxy::cut_all_watches).await?;
        sleep(Duration::from_millis(300)).await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn watches_that_are_too_old_are_survived() -> Result<()> {
    let expired = Rule::new(Effect::Instead(Failure::Expired)).verbs(&["watch"]).every(2);
    let expired = add(expired).await?;
    survives(async |_| {
        with_proxy(Proxy::cut_all_watches).await?;
        sleep(Duration::from_millis(700)).await;
        Ok(())
    })
    .await?;
    anyhow::ensure!(expired.struck() > 0);
    Ok(())
}

#[tokio::test]
async fn a_watch_that_is_refused_because_it_is_too_old_is_listed_anew() -> Result<()> {
    let audit = environment()?.cluster().audit();
    let mark = audit.mark()?;
    let refused = Rule::new(Effect::Instead(Failure::Status(410)));
    let refused = add(refused.verbs(&["watch"]).resource("leaderworkersets")).await?;
    with_proxy(|proxy| proxy.cut_watches("leaderworkersets")).await?;
    let listed = async || {
        let requests = audit.since(mark)?;
        let is_list = requests.iter().any(|it| {
            (it.key.user.as_str(), it.key.verb.as_str(), it.key.resource.as_str())
                == (CONTROLLER, "list", "leaderworkersets")
        });
        Ok::<_, lws_harness::Error>(is_list.then_some(()))
    };
    wait::eventually(DEADLINE, "sets are listed anew", listed).await?;
    drop(refused);
    Life::live(&namespace().await?).await?.judge().await
}

#[tokio::test]
async fn caches_that_are_stale_are_survived() -> Result<()> {
    survives(async |_| {
        let held = with_proxy(|proxy| WATCHED.map(|it| proxy.hold_watches(it))).await?;
        sleep(Duration::from_millis(600)).await;
        drop(held);
        sleep(Duration::from_millis(100)).await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn caches_that_are_stale_one_at_a_time_are_survived() -> Result<()> {
    survives(async |round| {
        let stale = WATCHED[round % WATCHED.len()];
        let held = with_proxy(|proxy| proxy.hold_watches(stale)).await?;
        sleep(Duration::from_millis(1500)).await;
        drop(held);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn networks_that_are_cut_for_a_moment_are_survived() -> Result<()> {
    survives(async |_| {
        let cut = with_proxy(Proxy::cut_network).await?;
        sleep(Duration::from_millis(800)).await;
        drop(cut);
        sleep(Duration::from_secs(2)).await;
        Ok(())
    })
    .await
}
