//! Ours with the rights that a release of the existing implementation has installed, and no others.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use lws_api_types::set::SubdomainPolicy;
use lws_e2e::fixture::IMAGE;
use lws_e2e::{CONTROLLER, DEADLINE, Fixture};
use lws_harness::audit::{AuditEvent, Mark};
use lws_harness::system::{Certificates, NAMESPACE, Rights, System, SystemOptions};
use lws_harness::wait;

use crate::world::World;

/// The user of the webhook.
const WEBHOOK: &str = "system:serviceaccount:lws-system:lws-webhook";

#[tokio::test]
async fn of_v0_6_0() -> Result<()> {
    Box::pin(suffice("v0.6.0")).await
}

#[tokio::test]
async fn of_v0_10_0() -> Result<()> {
    Box::pin(suffice("v0.10.0")).await
}

async fn suffice(release: &str) -> Result<()> {
    let world = World::recorded("permissions", release).await?;
    // Its holder is gone, so nobody has to wait until it has expired.
    let leases: Api<Lease> = Api::namespaced(world.cluster.client(), NAMESPACE);
    leases.delete("b8b2488c.x-k8s.io", &DeleteParams::default()).await?;
    let options = SystemOptions {
        rights: Rights::Present,
        certificates: Certificates::OfController,
        ..SystemOptions::default()
    };
    let _system = System::install(&world.cluster, &options).await?;

    world.looked_at("", "fresh").await?;
    let own_services = Fixture::named("own").subdomain_policy(SubdomainPolicy::UniquePerReplica);
    world.namespace.create_set(&own_services).await?.done(2).await?;
    let fresh = world.set("fresh");
    fresh.change_workers("example.org/other").await?;
    fresh.done(2).await?;
    fresh.change_workers(IMAGE).await?;
    fresh.done(2).await?;
    // Its groups are placed by the labels of nodes.
    let leader = world.namespace.pods().get("exclusive-0").await?;
    world.namespace.pods().delete("exclusive-0-1", &DeleteParams::default()).await?;
    let look = async || world.namespace.stateful_sets().get_opt("exclusive-0").await;
    wait::until(DEADLINE, "exclusive-0 has other workers", look, |it| {
        let owners = it.iter().flat_map(ResourceExt::owner_references);
        owners.into_iter().any(|owner| Some(&owner.uid) != leader.metadata.uid.as_ref())
    })
    .await?;
    world.silence().await?;

    let requests = world.cluster.audit().since(Mark::START)?;
    let refused: Vec<_> =
        requests.iter().filter(|it| is_ours(it) && [401, 403].contains(&it.code)).collect();
    ensure!(refused.is_empty(), "{refused:#?}");
    let of_webhook = requests.iter().filter(|it| it.key.user == WEBHOOK).count();
    ensure!(of_webhook == 0, "{of_webhook} requests of the webhook");
    // What was asked for is all that there is to ask for.
    let asked = requests.iter().filter(|it| it.key.user == CONTROLLER);
    let asked: BTreeSet<_> = asked.map(|it| (&*it.key.verb, &*it.key.resource)).collect();
    for expected in [
        ("watch", "leaderworkersets"),
        ("watch", "pods"),
        ("watch", "services"),
        ("watch", "statefulsets"),
        ("watch", "controllerrevisions"),
        ("update", "leaderworkersets"),
        ("create", "services"),
        ("create", "statefulsets"),
        ("patch", "statefulsets"),
        ("create", "controllerrevisions"),
        ("delete", "controllerrevisions"),
        ("delete", "pods"),
        ("get", "nodes"),
        ("create", "events"),
        ("update", "secrets"),
        ("watch", "mutatingwebhookconfigurations"),
        ("watch", "validatingwebhookconfigurations"),
    ] {
        ensure!(asked.contains(&expected), "{expected:?} was not asked for: {asked:?}");
    }
    Ok(())
}

fn is_ours(request: &AuditEvent) -> bool {
    [CONTROLLER, WEBHOOK].contains(&&*request.key.user)
}
