//! Volcano that is not there yet, and arrives.

use anyhow::Result;
use lws_e2e::set;
use lws_harness::system::{define_pod_groups, grant_pod_groups};
use tokio::sync::OnceCell;

use crate::{ALONE, environment, fixture};

static ARRIVED: OnceCell<()> = OnceCell::const_new();

/// Volcano arrives, once; see the test.
pub(crate) async fn arrived() -> Result<()> {
    ARRIVED.get_or_try_init(arrive).await?;
    Ok(())
}

async fn arrive() -> Result<()> {
    let environment = environment(&ALONE)?;
    let namespace = environment.namespace().await?;
    let mark = namespace.mark()?;
    let set = namespace.create_set(&fixture()).await?;
    set.create_leaders().await?;
    let failed = "Warning FailedCreate: Failed to create pod group test-sample-0-";
    let grant = "grant it create, get, list and watch";
    namespace.expect_event_of(&[failed, "for leader pod test-sample-0: ", grant]).await?;
    grant_pod_groups(environment.cluster()).await?;
    namespace.expect_event_of(&[failed, "install Volcano"]).await?;

    // What can be done is done nevertheless, and nothing is tried in vain.
    set.valid_leader_set(2).await?;
    set.valid_services(1).await?;
    set.expect_conditions("progressing").await?;
    set::stays(async || {
        let worker_sets = set.worker_set_names().await?;
        anyhow::ensure!(worker_sets.is_empty(), "{worker_sets:?}");
        let requests = namespace.controller_requests(mark)?;
        let in_vain = requests.iter().find(|it| it.key.resource == "podgroups");
        anyhow::ensure!(in_vain.is_none(), "{in_vain:?}");
        Ok(())
    })
    .await?;

    define_pod_groups(environment.cluster()).await?;
    set.valid_pod_groups().await?;
    set.valid_worker_sets().await
}

#[tokio::test]
async fn volcano_may_arrive_after_the_controller() -> Result<()> {
    arrived().await
}
