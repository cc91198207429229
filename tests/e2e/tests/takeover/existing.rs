//! Clusters that the existing implementation has run, taken over with the shipped manifests.

use anyhow::{Context as _, Result, ensure};
use kube::api::DeleteParams;
use lws_api_types::keys::annotations;
use lws_e2e::{DEADLINE, Fixture, TestSet, set};
use lws_harness::system::{System, SystemOptions};
use lws_harness::wait;
use serde_json::Value;

use crate::hand_back;
use crate::snapshot::{Snapshot, without_history};
use crate::world::{World, upgrade};

/// The set that is rolling out. Its new pods are never ready.
const HALF_WAY: &str = "half-way";

#[tokio::test]
async fn v0_6_0() -> Result<()> {
    take_over("v0.6.0").await
}

#[tokio::test]
async fn v0_10_0() -> Result<()> {
    take_over("v0.10.0").await
}

async fn take_over(release: &str) -> Result<()> {
    let world = World::recorded("existing", release).await?;
    let before = world.at_rest().await?;
    let (former, mark) = (world.leader().await?, world.namespace.mark()?);
    let mut system = System::install(&world.cluster, &SystemOptions::default()).await?;
    world.looked_at(&former, "fresh").await?;
    let after = Snapshot::of(&world.namespace).await?;
    let writes = world.writes(mark, &before)?;
    println!("{writes:#?}");
    Ok(())
}
