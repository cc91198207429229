//! This process's part in the leader election, which may be switched off. It has a thread of its own:
//! however busy the reconcilers are, the lease is renewed in time.

use std::thread;

use anyhow::Context as _;
use kube::Config;
use lws_controller::lease::{self, KubeStore, LeaderElector, Leadership, LeaseError};
use lws_runtime::client::requests::RequestCounter;
use lws_runtime::config::LeaderElectionSettings;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// This process's part in the leader election.
pub(crate) enum Election {
    /// It is switched off: this process leads as long as it lives.
    Off(watch::Sender<Leadership>),
    /// The elector runs, and tells how that ended.
    Running(oneshot::Receiver<Result<(), LeaseError>>),
}

impl Election {
    /// Takes part in the election until `released`.
    pub(crate) fn start(
        settings: &LeaderElectionSettings,
        config: Config,
        requests: &RequestCounter,
        released: CancellationToken,
    ) -> anyhow::Result<(Self, watch::Receiver<Leadership>)> {
        if !settings.enabled {
            let (sender, leadership) = watch::channel(Leadership::Unopposed);
            return Ok((Self::Off(sender), leadership));
        }
        let candidate = lease::Settings {
            lease_duration: settings.lease_duration,
            renew_deadline: settings.renew_deadline,
            retry_period: settings.retry_period,
            ..lease::Settings::new(settings.resource_name.clone(), lease::identity()?)
        };
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let store = {
            // The client has a task.
            let _entered = runtime.enter();
            KubeStore::new(config, &settings.resource_namespace, requests)?
        };
        let elector = LeaderElector::new(store, candidate)?;
        let leadership = elector.leadership();
        let (sender, ended) = oneshot::channel();
        let run = move || {
            let ended = runtime.block_on(elector.run(async move { released.cancelled().await }));
            // An error means that the process ends anyway, and nobody asks any more.
            let _ = sender.send(ended);
        };
        thread::Builder::new().name("election".to_owned()).spawn(run)?;
        Ok((Self::Running(ended), leadership))
    }

    /// Completes when this process no longer takes part: with an error when it lost the lease.
    /// Without an election that is once nobody asks for leadership any more.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Off(leadership) => {
                leadership.closed().await;
                Ok(())
            }
            Self::Running(ended) => Ok(ended.await.context("the election has panicked")??),
        }
    }
}
