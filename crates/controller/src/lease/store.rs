//! Where the lease is kept. Owns the three requests of an election, as a trait so that tests can
//! delay and lose them.

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Config, api::PostParams};
use lws_runtime::client::{self, requests::RequestCounter};

use super::LeaseError;

/// The requests of an election. Each is one attempt: no retries inside, no timeout needed.
pub trait LeaseStore: Send + Sync {
    /// The lease of that name, `None` when there is none.
    fn get(&self, name: &str) -> impl Future<Output = kube::Result<Option<Lease>>> + Send;

    /// Creates the lease and answers it as stored. Fails with status 409 when there is one of that
    /// name.
    fn create(&self, lease: &Lease) -> impl Future<Output = kube::Result<Lease>> + Send;

    /// Replaces the lease and answers it as stored. Fails with status 409 when its resource version
    /// is not the stored one, with 404 when it is gone.
    fn replace(
        &self,
        name: &str,
        lease: &Lease,
    ) -> impl Future<Output = kube::Result<Lease>> + Send;
}

/// Leases of one namespace at the API server.
#[derive(Clone, Debug)]
pub struct KubeStore {
    leases: Api<Lease>,
}

impl KubeStore {
    /// A store with a client of its own, so with a connection that no other traffic can exhaust.
    /// Fails when the configuration cannot be used.
    pub fn new(
        config: Config,
        namespace: &str,
        requests: &RequestCounter,
    ) -> Result<Self, LeaseError> {
        let client = client::new(config, requests)
            .map_err(|source| LeaseError::Client { namespace: namespace.to_owned(), source })?;
        Ok(Self { leases: Api::namespaced(client, namespace) })
    }
}

impl LeaseStore for KubeStore {
    async fn get(&self, name: &str) -> kube::Result<Option<Lease>> {
        self.leases.get_opt(name).await
    }

    async fn create(&self, lease: &Lease) -> kube::Result<Lease> {
        self.leases.create(&PostParams::default(), lease).await
    }

    async fn replace(&self, name: &str, lease: &Lease) -> kube::Result<Lease> {
        self.leases.replace(name, &PostParams::default(), lease).await
    }
}
