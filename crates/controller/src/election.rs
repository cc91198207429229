//! This process's part in the leader election, which may be switched off.

use kube::Config;
use lws_controller::lease::{self, KubeStore, LeaderElector, Leadership, LeaseError};
use lws_controller::metrics::requests::RequestCounter;
use lws_runtime::config::LeaderElectionSettings;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// This process's part in the leader election.
pub(crate) enum Election {
    /// It is switched off: this process leads as long as it lives.
    Off(watch::Sender<Leadership>),
    /// The elector runs.
    Running(JoinHandle<Result<(), LeaseError>>),
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
        let store = KubeStore::new(config, &settings.resource_namespace, requests)?;
        let elector = LeaderElector::new(store, candidate)?;
        let leadership = elector.leadership();
        let running = tokio::spawn(elector.run(async move { released.cancelled().await }));
        Ok((Self::Running(running), leadership))
    }

    /// Completes when this process no longer takes part: with an error when it lost the lease.
    /// Without an election that is once nobody asks for leadership any more.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Off(leadership) => {
                leadership.closed().await;
                Ok(())
            }
            Self::Running(elector) => Ok(elector.await??),
        }
    }
}
