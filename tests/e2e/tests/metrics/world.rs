//! The cluster with both processes as they run by default, accounts that scrape, and their requests.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use kube::{Client, Config};
use lws_e2e::environment::fresh_directory;
use lws_e2e::{CONTROLLER, DEADLINE, Environment};
use lws_harness::system::{Component, Metrics, System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions, wait};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::sync::{MutexGuard, OnceCell};

/// The cluster, and the directory for temporary files of both processes.
pub(crate) struct World {
    environment: Environment,
    files: PathBuf,
}

static WORLD: LazyLock<Result<World>> = LazyLock::new(|| {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let files = fresh_directory(Path::new(directory), "files-of-metrics")?;
    let environment = Environment::start(
        directory,
        "metrics",
        ClusterOptions { controllers: false, nodes: 0, ..ClusterOptions::default() },
        SystemOptions {
            metrics: Metrics::Reviewed,
            proxied: true,
            env: vec![("TMPDIR".to_owned(), files.to_string_lossy().into_owned())],
            ..SystemOptions::default()
        },
    )?;
    Ok(World { environment, files })
});

/// Whether there are accounts.
static ACCOUNTS: OnceCell<()> = OnceCell::const_new();

/// The world, in which account `reader` may read metrics, and `other` may not.
pub(crate) async fn world() -> Result<&'static World> {
    let world = match &*WORLD {
        Ok(world) => world,
        Err(error) => bail!("no cluster: {error:#}"),
    };
    ACCOUNTS.get_or_try_init(|| world.make_accounts()).await?;
    Ok(world)
}

impl World {
    async fn make_accounts(&self) -> Result<()> {
        for account in ["reader", "other", "operator"] {
            self.kubectl(&["create", "serviceaccount", account]).await?;
        }
        let binding =
            ["create", "clusterrolebinding", "reader", "--clusterrole=lws-metrics-reader"];
        self.kubectl(&[&binding[..], &["--serviceaccount=default:reader"]].concat()).await?;
        // As it is documented.
        let role = ["create", "clusterrole", "lws-log-level", "--verb=get,put"];
        self.kubectl(&[&role[..], &["--non-resource-url=/debug/loglevel"]].concat()).await?;
        let binding = ["create", "clusterrolebinding", "operator", "--clusterrole=lws-log-level"];
        self.kubectl(&[&binding[..], &["--serviceaccount=default:operator"]].concat()).await?;
        let ask = ["auth", "can-i", "get", "/metrics", "--as=system:serviceaccount:default:reader"];
        wait::eventually(DEADLINE, "the API server knows of the binding", async || {
            self.kubectl(&ask).await.map(Some)
        })
        .await?;
        Ok(())
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        self.environment.cluster()
    }

    /// The processes, alone.
    pub(crate) async fn system(&self) -> MutexGuard<'_, System> {
        self.environment.system().await
    }

    /// A new token of an account, about which no answer is kept.
    pub(crate) async fn token(&self, account: &str) -> Result<String> {
        Ok(self.kubectl(&["create", "token", account]).await?.trim().to_owned())
    }

    /// Where both look for a certificate; the directory itself is not there.
    pub(crate) fn certificates(&self) -> Result<PathBuf> {
        let parent = self.files.join("k8s-metrics-server");
        std::fs::create_dir_all(&parent)?;
        Ok(parent.join("serving-certs"))
    }

    async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output = self.cluster().kubectl(args).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {said}", args.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// One of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Controller,
    Webhook,
}

impl Process {
    pub(crate) const BOTH: [Self; 2] = [Self::Controller, Self::Webhook];

    pub(crate) fn of(self, system: &mut System) -> Result<&mut Component> {
        match self {
            Self::Controller => system.controllers().first_mut().context("no controller runs"),
            Self::Webhook => Ok(system.webhook()?),
        }
    }

    /// Its own token.
    pub(crate) fn token(self, cluster: &Cluster) -> Result<String> {
        let name = match self {
            Self::Controller => "lws-controller-0",
            Self::Webhook => "lws-webhook",
        };
        let file = cluster.dir().join(format!("{name}.kubeconfig"));
        let kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        let token = kubeconfig.pointer("/users/0/user/token").and_then(Value::as_str);
        Ok(token.context("no token")?.to_owned())
    }

    /// Its user, of which there are requests in the audit log.
    pub(crate) fn user(self) -> &'static str {
        match self {
            Self::Controller => CONTROLLER,
            Self::Webhook => "system:serviceaccount:lws-system:lws-webhook",
        }
    }
}

/// The answer of an endpoint, whoever it is.
pub(crate) async fn ask(url: &str, method: Method, token: Option<&str>) -> Result<(u16, String)> {
    let mut config = config(url)?;
    config.accept_invalid_certs = true;
    send(config, method, token).await
}

/// The answer of an endpoint whose certificate is for `name` and signed by `authority` (PEM).
pub(crate) async fn ask_trusting(
    url: &str,
    authority: &str,
    name: &str,
    token: &str,
) -> Result<(u16, String)> {
    let mut config = config(url)?;
    config.root_cert = Some(vec![CertificateDer::from_pem_slice(authority.as_bytes())?.to_vec()]);
    config.tls_server_name = Some(name.to_owned());
    send(config, Method::GET, Some(token)).await
}

/// The answer of another endpoint beside the metrics of `url`, asked with `body`.
pub(crate) async fn ask_beside(
    url: &str,
    (method, path): (Method, &str),
    token: Option<&str>,
    body: &str,
) -> Result<(u16, String)> {
    let mut config = config(url)?;
    config.accept_invalid_certs = true;
    send_to(config, (method, path), token, body).await
}

fn config(url: &str) -> Result<Config> {
    let server = url.strip_suffix("/metrics").ok_or_else(|| anyhow!("another path: {url}"))?;
    let mut config = Config::new(server.parse()?);
    config.default_retry = false;
    Ok(config)
}

async fn send(config: Config, method: Method, token: Option<&str>) -> Result<(u16, String)> {
    send_to(config, (method, "/metrics"), token, "").await
}

async fn send_to(
    config: Config,
    (method, path): (Method, &str),
    token: Option<&str>,
    body: &str,
) -> Result<(u16, String)> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(body.as_bytes().to_vec())?.map(Into::into);
    let answer = Client::try_from(config)?.send(request).await?;
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((code, String::from_utf8(body.to_vec())?))
}
