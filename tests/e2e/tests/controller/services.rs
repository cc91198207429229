//! Headless Services.

use anyhow::Result;
use kube::api::DeleteParams;
use lws_api_types::set::SubdomainPolicy;
use lws_e2e::Fixture;

use crate::create;

#[tokio::test]
async fn all_groups_share_one_service() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.create_leaders().await?;
    set.valid_services(1).await
}

#[tokio::test]
async fn a_deleted_shared_service_is_created_again() -> Result<()> {
    let set = create(Fixture::default()).await?;
    set.valid_services(1).await?;
    set.namespace().services().delete(set.name(), &DeleteParams::default()).await?;
    set.valid_services(1).await
}

#[tokio::test]
async fn each_group_has_a_service_of_its_own_when_asked_for() -> Result<()> {
    let fixture = Fixture::default().subdomain_policy(SubdomainPolicy::UniquePerReplica);
    let set = create(fixture).await?;
    set.create_leaders().await?;
    set.valid_services(2).await?;
    set.namespace().services().delete(&set.group(1), &DeleteParams::default()).await?;
    set.valid_services(2).await
}
