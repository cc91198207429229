//! Which cluster and namespace is asked: as kubectl finds them.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::arguments::Common;
use crate::error::Error;
use crate::transport;

/// A way to the API server.
pub(crate) struct Connection {
    /// Its client.
    pub(crate) client: Client,
    /// The namespace that the command is about.
    pub(crate) namespace: String,
}

impl Connection {
    /// Finds the cluster of the command line. Nothing is sent yet.
    pub(crate) async fn open(common: &Common) -> Result<Self, Error> {
        let mut config = config(common).await?;
        let limit = common.request_timeout;
        // That of the client is about silence, also of a watch.
        config.read_timeout = config.read_timeout.map(|it| it.max(limit));
        let namespace = common.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = transport::client(config, (!limit.is_zero()).then_some(limit))?;
        Ok(Self { client, namespace })
    }
}

async fn config(common: &Common) -> Result<Config, Error> {
    let Common { kubeconfig: path, context, .. } = common;
    let failed = |source| Error::Kubeconfig { path: path.clone(), source: Box::new(source) };
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    match path {
        Some(file) => {
            let kubeconfig = Kubeconfig::read_from(file).map_err(failed)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)
        }
        None if context.is_some() => Config::from_kubeconfig(&options).await.map_err(failed),
        None => Config::infer().await.map_err(|error| Error::NoCluster(Box::new(error))),
    }
}
