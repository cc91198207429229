//! A namespace for one test, and what is in it.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{self, Pod, ResourceQuota, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use lws_api_types::keys;
use lws_harness::audit::{AuditEvent, AuditLog, Mark};
use lws_harness::wait;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{CONTROLLER, DEADLINE, Fixture, TestSet};

/// Who makes no request for so long has nothing to do: longer than numbers and records wait for more of their kind, as
/// long as no more than a dozen sets of the cluster change.
const SILENCE: Duration = Duration::from_secs(3);

/// The quota of [`Namespace::allow_pods`].
pub const QUOTA: &str = "pods";

/// A namespace for one test.
#[derive(Clone)]
pub struct Namespace {
    client: Client,
    audit: AuditLog,
    has_controllers: bool,
    name: String,
}

impl Namespace {
    /// Creates a namespace whose name the server chooses, in a cluster with or without controllers of its own.
    pub async fn create(client: Client, audit: AuditLog, has_controllers: bool) -> Result<Self> {
        let object = serde_json::from_value(json!({"metadata": {"generateName": "e2e-"}}))?;
        let api: Api<v1::Namespace> = Api::all(client.clone());
        let created = api.create(&PostParams::default(), &object).await?;
        let name = created.metadata.name.unwrap_or_default();
        Ok(Self { client, audit, has_controllers, name })
    }

    /// The namespace `name` of a cluster that has controllers of its own, with whatever is in it.
    #[must_use]
    pub fn existing(client: Client, audit: AuditLog, name: &str) -> Self {
        Self { client, audit, has_controllers: true, name: name.to_owned() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether Kubernetes' own controllers run, so that nobody has to play them.
    #[must_use]
    pub fn has_controllers(&self) -> bool {
        self.has_controllers
    }

    /// A client that may do everything.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Creates a set; gives it as soon as the server has it.
    pub async fn create_set(&self, fixture: &Fixture) -> Result<TestSet> {
        let set = TestSet::named(self.clone(), fixture.name());
        set.create(fixture).await?;
        Ok(set)
    }

    /// Its objects of one kind.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Its sets.
    #[must_use]
    pub fn sets(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.name, &set_resource())
    }

    /// Its `StatefulSet`s.
    #[must_use]
    pub fn stateful_sets(&self) -> Api<StatefulSet> {
        self.api()
    }

    /// Its pods.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        self.api()
    }

    /// Its Services.
    #[must_use]
    pub fn services(&self) -> Api<Service> {
        self.api()
    }

    /// Its revisions.
    #[must_use]
    pub fn revisions(&self) -> Api<ControllerRevision> {
        self.api()
    }

    /// Allows so many pods from now on, by the quota [`QUOTA`].
    pub async fn allow_pods(&self, count: u32) -> Result<()> {
        let api = self.api::<ResourceQuota>();
        let quota = serde_json::from_value(json!({
            "metadata": {"name": QUOTA}, "spec": {"hard": {"pods": count.to_string()}},
        }))?;
        api.create(&PostParams::default(), &quota).await?;
        // It holds once it is counted what there is.
        let counted = async || {
            let status = api.get(QUOTA).await?.status.unwrap_or_default();
            Ok::<_, kube::Error>(status.used.is_some_and(|it| it.contains_key("pods")))
        };
        wait::until(DEADLINE, "the quota is in force", counted, |it| *it).await?;
        Ok(())
    }

    /// All objects of one kind, by name.
    pub async fn all<K>(&self) -> Result<Vec<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        Ok(self.api::<K>().list(&ListParams::default()).await?.items)
    }

    /// Every event, as `<type> <reason>: <note>`, in the order of their names.
    pub async fn events(&self) -> Result<Vec<String>> {
        let text = |event: Event| {
            let [kind, reason, note] =
                [event.type_, event.reason, event.note].map(Option::unwrap_or_default);
            format!("{kind} {reason}: {note}")
        };
        Ok(self.all::<Event>().await?.into_iter().map(text).collect())
    }

    /// The events that tell of recreated groups.
    pub async fn recreations(&self) -> Result<Vec<String>> {
        let mut events = self.events().await?;
        events.retain(|it| it.starts_with("Normal RecreateGroup: "));
        Ok(events)
    }

    /// Waits for an event, given as `<type> <reason>: <note>`.
    pub async fn expect_event(&self, expected: &str) -> Result<()> {
        self.expect_event_with(expected, |seen| seen == expected).await
    }

    /// Waits for an event that contains all `parts`, of its form `<type> <reason>: <note>`.
    pub async fn expect_event_of(&self, parts: &[&str]) -> Result<()> {
        let description = parts.join(" … ");
        self.expect_event_with(&description, |seen| parts.iter().all(|part| seen.contains(part)))
            .await
    }

    async fn expect_event_with(&self, expected: &str, is: impl Fn(&str) -> bool) -> Result<()> {
        let description = format!("event `{expected}`");
        let events = async || self.events().await;
        wait::until(DEADLINE, &description, events, |seen| seen.iter().any(|it| is(it))).await?;
        Ok(())
    }

    /// Creates a Service of nobody where the fixture needs one of its own.
    pub async fn create_foreign_service(&self) -> Result<()> {
        let ports = json!([{"port": 80}]);
        let service = json!({"metadata": {"name": "test-sample"}, "spec": {"ports": ports}});
        let service: Service = serde_json::from_value(service)?;
        self.services().create(&PostParams::default(), &service).await?;
        Ok(())
    }

    /// Waits until there are neither sets nor objects of sets.
    pub async fn nothing_is_left(&self) -> Result<()> {
        let left = async || {
            let sets = self.sets().list(&ListParams::default()).await?.items;
            let mut left: Vec<_> = sets.iter().map(ResourceExt::name_any).collect();
            left.extend(self.all::<StatefulSet>().await?.iter().map(ResourceExt::name_any));
            left.extend(self.all::<Pod>().await?.iter().map(ResourceExt::name_any));
            left.extend(self.all::<Service>().await?.iter().map(ResourceExt::name_any));
            left.extend(self.all::<ControllerRevision>().await?.iter().map(ResourceExt::name_any));
            Ok::<_, anyhow::Error>(left)
        };
        wait::until(DEADLINE, "nothing is left", left, Vec::is_empty).await?;
        Ok(())
    }

    /// The log of requests.
    #[must_use]
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// The present end of the log of requests.
    pub fn mark(&self) -> Result<Mark> {
        Ok(self.audit.mark()?)
    }

    /// The requests of the controller that concern this namespace, since `mark`.
    pub fn controller_requests(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        let mut requests = self.audit.since(mark)?;
        requests.retain(|it| it.key.user == CONTROLLER && it.key.namespace == self.name);
        Ok(requests)
    }

    /// Waits until the controller has been silent about this namespace for a while; gives since when.
    pub async fn silence(&self) -> Result<Mark> {
        let look = async || {
            let mark = self.mark()?;
            tokio::time::sleep(SILENCE).await;
            self.ensure_silent_since(mark).map(|()| Some(mark))
        };
        Ok(wait::eventually(DEADLINE, "the controller is silent", look).await?)
    }

    /// Fails when the controller has made requests that concern this namespace.
    pub fn ensure_silent_since(&self, mark: Mark) -> Result<()> {
        let requests = self.controller_requests(mark)?;
        anyhow::ensure!(requests.is_empty(), "{requests:#?}");
        Ok(())
    }
}

/// The resource of sets.
#[must_use]
pub fn set_resource() -> ApiResource {
    ApiResource {
        group: keys::GROUP.to_owned(),
        version: keys::VERSION.to_owned(),
        api_version: keys::API_VERSION.to_owned(),
        kind: keys::KIND.to_owned(),
        plural: keys::PLURAL.to_owned(),
    }
}
