//! One object that is watched: its last known state, and its replacement. It stays raw JSON, so
//! that fields newer than this program survive.

use futures::Stream;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, PostParams, TypeMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client, Resource, ResourceExt as _};

/// One object that is watched.
pub(super) struct Watched {
    api: Api<DynamicObject>,
    resource: ApiResource,
    /// As people name it: `secrets lws-system/x`.
    title: String,
    name: String,
    /// Whether it is known if there is one.
    is_known: bool,
    object: Option<DynamicObject>,
}

impl Watched {
    /// A Secret.
    pub(super) fn secret(client: &Client, namespace: &str, name: &str) -> Self {
        let resource = ApiResource::erase::<Secret>(&());
        Self {
            api: Api::namespaced_with(client.clone(), namespace, &resource),
            title: format!("secrets {namespace}/{name}"),
            resource,
            name: name.to_owned(),
            is_known: false,
            object: None,
        }
    }

    /// An object that is in no namespace.
    pub(super) fn cluster_wide<K: Resource<DynamicType = ()>>(client: &Client, name: &str) -> Self {
        let resource = ApiResource::erase::<K>(&());
        Self {
            api: Api::all_with(client.clone(), &resource),
            title: format!("{} {name}", resource.plural),
            resource,
            name: name.to_owned(),
            is_known: false,
            object: None,
        }
    }

    /// Its kind and name.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// Its states from now on, by a watch of this one name; failed ones begin anew.
    pub(super) fn events(
        &self,
    ) -> impl Stream<Item = watcher::Result<Option<DynamicObject>>> + Send + use<> {
        watch_object(self.api.clone(), &self.name).default_backoff()
    }

    /// Takes a state from the watch, unless the answer to a write was newer.
    pub(super) fn observed(&mut self, object: Option<DynamicObject>) {
        let is_older = match (self.present(), &object) {
            (Some(known), Some(object)) => {
                known.uid() == object.uid() && version(object) < version(known)
            }
            _ => false,
        };
        if !is_older {
            self.is_known = true;
            self.object = object;
        }
    }

    /// Takes the answer to a write.
    pub(super) fn written(&mut self, object: DynamicObject) {
        self.object = Some(object);
    }

    /// Whether it is known if there is one.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// The object, if it is there to stay.
    pub(super) fn present(&self) -> Option<&DynamicObject> {
        self.object.as_ref().filter(|it| it.metadata.deletion_timestamp.is_none())
    }

    /// Replaces it by `object`, unless it has changed since `object` was read.
    pub(super) async fn replace(&self, mut object: DynamicObject) -> kube::Result<DynamicObject> {
        // Objects of a list do not say what they are.
        let ApiResource { api_version, kind, .. } = self.resource.clone();
        object.types = Some(TypeMeta { api_version, kind });
        self.api.replace(&self.name, &PostParams::default(), &object).await
    }
}

/// The resource version as the number it is in every API server that stores in etcd.
fn version(object: &DynamicObject) -> u64 {
    object.resource_version().and_then(|it| it.parse().ok()).unwrap_or(0)
}
