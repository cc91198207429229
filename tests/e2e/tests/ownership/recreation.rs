//! A hundred recreations in every cascade mode: nothing of the former sets is taken over that is not to be, and in the
//! end nothing is left. They are ten names, ten times each, at the same time: a predecessor is met at every stage, while
//! the garbage collector and the controllers have other sets to see to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use anyhow::Result;
use futures::future::try_join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, PostParams, PropagationPolicy};
use kube::{Api, Resource, ResourceExt};
use lws_api_types::keys::labels;
use lws_e2e::recording::{Change, Recording};
use lws_e2e::stand_in::uid;
use lws_e2e::{DEADLINE, Fixture, Namespace, TestSet};
use lws_harness::wait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::namespace;

/// Sets that are recreated at the same time.
const SETS: usize = 10;
/// How often each is recreated.
const ROUNDS: usize = 10;
const _: () = assert!(SETS * ROUNDS == 100, "recreations in each cascade mode");

fn fixture(set: &TestSet) -> Fixture {
    Fixture::named(set.name()).replicas(1)
}

fn sets(namespace: &Namespace) -> Vec<TestSet> {
    (0..SETS).map(|index| TestSet::named(namespace.clone(), &format!("set-{index}"))).collect()
}

/// Creates a set as soon as the former one of that name is gone; gives its UID.
async fn create(set: &TestSet) -> Result<String> {
    let description = format!("{} is created", set.name());
    let attempt = async || set.create(&fixture(set)).await.map(Some);
    wait::eventually(DEADLINE, &description, attempt).await?;
    Ok(set.live().await?.uid().to_owned())
}

async fn delete(set: &TestSet, policy: PropagationPolicy) -> Result<()> {
    let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
    set.namespace().sets().delete(set.name(), &params).await?;
    Ok(())
}

/// Waits until the leader `StatefulSet` is controlled by the set with `uid`.
async fn is_begun(set: &TestSet, uid: &str) -> Result<()> {
    let description = format!("{} has its own leader StatefulSet", set.name());
    let owner = async || {
        let found = set.namespace().stateful_sets().get_opt(set.name()).await?;
        Ok::<_, kube::Error>(found.and_then(|it| controller(&it)))
    };
    wait::until(DEADLINE, &description, owner, |seen| seen.as_deref() == Some(uid)).await?;
    Ok(())
}

/// Lets a set come along: not at all, to its beginning, to its end.
async fn come_along(set: &TestSet, uid: &str, round: usize) -> Result<()> {
    match round % 3 {
        0 => Ok(()),
        1 => is_begun(set, uid).await,
        _ => {
            is_begun(set, uid).await?;
            set.done(1).await
        }
    }
}

/// The UID of the controller of an object.
fn controller(object: &impl ResourceExt) -> Option<String> {
    let owners = object.owner_references();
    owners.iter().find(|it| it.controller == Some(true)).map(|it| it.uid.clone())
}

/// Fails when an object has had more than one controller.
fn ensure_no_adoption<K>(recording: &Recording<K>) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let mut controllers: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for change in recording.so_far()? {
        let (Change::Now(seen) | Change::Gone(seen)) = change;
        controllers.entry((seen.name_any(), uid(&seen))).or_default().insert(controller(&seen));
    }
    anyhow::ensure!(controllers.len() >= SETS, "only {} objects were seen", controllers.len());
    controllers.retain(|_, seen| seen.len() > 1 || seen.contains(&None));
    anyhow::ensure!(controllers.is_empty(), "objects that changed hands: {controllers:#?}");
    Ok(())
}

/// Recreates sets whose objects go with them.
async fn is_recreated(policy: PropagationPolicy) -> Result<()> {
    let namespace = namespace().await?;
    let stateful_sets = Recording::<StatefulSet>::start(&namespace).await?;
    let services = Recording::<Service>::start(&namespace).await?;
    let revisions = Recording::<ControllerRevision>::start(&namespace).await?;
    let sets = sets(&namespace);
    try_join_all(sets.iter().enumerate().map(async |(index, set)| {
        for round in 0..ROUNDS {
            let uid = create(set).await?;
            come_along(set, &uid, round + index).await?;
            delete(set, policy.clone()).await?;
        }
        create(set).await?;
        set.created_leader_set().await?;
        set.done(1).await
    }))
    .await?;
    ensure_no_adoption(&stateful_sets)?;
    ensure_no_adoption(&services)?;
    ensure_no_adoption(&revisions)?;
    for set in &sets {
        set.namespace().services().get(set.name()).await?;
        delete(set, policy.clone()).await?;
    }
    namespace.nothing_is_left().await
}

#[tokio::test]
async fn sets_that_are_deleted_in_the_background_are_recreated_anew() -> Result<()> {
    is_recreated(PropagationPolicy::Background).await
}

#[tokio::test]
async fn sets_that_are_deleted_in_the_foreground_are_recreated_anew() -> Result<()> {
    is_recreated(PropagationPolicy::Foreground).await
}

/// What must stay the same when a set is taken over: its `StatefulSet`s, pods and revisions.
async fn fingerprint(set: &TestSet) -> Result<Vec<String>> {
    let namespace = set.namespace();
    let mut seen = identities::<StatefulSet>(set, &namespace.all().await?);
    seen.extend(identities::<Pod>(set, &namespace.all().await?));
    seen.extend(identities::<ControllerRevision>(set, &namespace.all().await?));
    Ok(seen)
}

/// Names and UIDs of those objects that belong to a set.
fn identities<K: ResourceExt>(set: &TestSet, objects: &[K]) -> Vec<String> {
    let is_of_set = |it: &&K| it.labels().get(labels::NAME).is_some_and(|name| name == set.name());
    let identity = |it: &K| format!("{} {}", it.name_any(), uid(it));
    objects.iter().filter(is_of_set).map(identity).collect()
}

/// Waits until the garbage collector knows who owns the objects of a set. It learns of each kind in the order of
/// events, so it knows once it has deleted an object of that kind whose owner does not exist.
async fn owners_are_known(set: &TestSet) -> Result<()> {
    let name = format!("{}-canary", set.name());
    let metadata = json!({"name": name, "ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "nobody",
    }]});
    let selector = json!({"app": name});
    let stateful_set = json!({"metadata": metadata, "spec": {
        "replicas": 0,
        "serviceName": "",
        "selector": {"matchLabels": selector},
        "template": {
            "metadata": {"labels": selector},
            "spec": {"containers": [{"name": "canary", "image": "canary"}]},
        },
    }});
    let service = json!({"metadata": metadata, "spec": {"clusterIP": "None"}});
    let revision = json!({"metadata": metadata, "revision": 1, "data": {}});
    let namespace = set.namespace();
    tokio::try_join!(
        is_collected(namespace.stateful_sets(), stateful_set),
        is_collected(namespace.services(), service),
        is_collected(namespace.revisions(), revision),
    )?;
    Ok(())
}

async fn is_collected<K>(api: Api<K>, object: Value) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize,
{
    let object: K = serde_json::from_value(object)?;
    let name = api.create(&PostParams::default(), &object).await?.name_any();
    let exists = async || api.get_opt(&name).await.map(|it| it.is_some());
    wait::until(DEADLINE, "the canary is collected", exists, |it| !it).await?;
    Ok(())
}

/// Waits until the Service and the revision of a set are its own, too.
async fn is_adopted(set: &TestSet, owner: &str) -> Result<()> {
    let namespace = set.namespace();
    let description = format!("{} has adopted everything", set.name());
    let look = async || {
        let service = namespace.services().get(set.name()).await?;
        let is_of_set = |it: &&ControllerRevision| {
            it.labels().get(labels::NAME).is_some_and(|name| name == set.name())
                && !it.labels().contains_key(labels::WORKER_INDEX)
                && !it.labels().contains_key(labels::GROUP_INDEX)
        };
        let revisions: Vec<ControllerRevision> = namespace.all().await?;
        let mut owners: Vec<_> = revisions.iter().filter(is_of_set).map(controller).collect();
        owners.push(controller(&service));
        Ok::<_, anyhow::Error>(owners)
    };
    wait::until(DEADLINE, &description, look, |owners| {
        owners.iter().all(|it| it.as_deref() == Some(owner))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn sets_whose_objects_are_orphaned_are_taken_over_without_a_restart() -> Result<()> {
    let namespace = namespace().await?;
    let sets = sets(&namespace);
    try_join_all(sets.iter().enumerate().map(async |(index, set)| {
        create(set).await?;
        set.created_leader_set().await?;
        set.done(1).await?;
        let before = fingerprint(set).await?;
        owners_are_known(set).await?;
        for round in 0..ROUNDS {
            delete(set, PropagationPolicy::Orphan).await?;
            let uid = create(set).await?;
            is_begun(set, &uid).await?;
            is_adopted(set, &uid).await?;
            if (round + index) % 2 == 0 {
                set.done(1).await?;
            }
            owners_are_known(set).await?;
        }
        set.done(1).await?;
        let after = fingerprint(set).await?;
        anyhow::ensure!(after == before, "before: {before:#?}, after: {after:#?}");
        delete(set, PropagationPolicy::Background).await
    }))
    .await?;
    namespace.nothing_is_left().await
}
