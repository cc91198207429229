//! The command lines of etcd and the Kubernetes components.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::credentials::{CONTROLLER_MANAGER, Credentials, SCHEDULER, write_private};
use crate::options::ClusterOptions;
use crate::processes::ProcessSpec;
use crate::{Error, Result};

/// After so many the API server would begin another audit log: more than any disk has.
const AUDIT_LOG_MEBIBYTES: u32 = 100_000_000;

/// Requests per second that a component may send: more than it ever does, so that it is not what a test measures.
const UNTHROTTLED: [&str; 2] = ["--kube-api-qps=2000", "--kube-api-burst=4000"];

/// The minor version since when the API server has policies in CEL, which tests refuse requests with. Before, it has them when it is
/// asked to.
const POLICIES_SINCE: u32 = 30;

/// Counts every request: who did what to which kind of object, and when.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: Metadata
";

/// What the command lines of one run have in common.
#[derive(Debug)]
pub(crate) struct Components<'a> {
    pub(crate) options: &'a ClusterOptions,
    pub(crate) directory: &'a Path,
    pub(crate) credentials: &'a Credentials,
    pub(crate) etcd_port: u16,
    pub(crate) api_server_port: u16,
}

impl Components<'_> {
    pub(crate) fn etcd(&self) -> Result<ProcessSpec> {
        let url = format!("http://127.0.0.1:{}", self.etcd_port);
        let spec = self.spec("etcd")?.args([
            "--name=default".to_owned(),
            format!("--data-dir={}", etcd_data(self.directory).display()),
            "--unsafe-no-fsync".to_owned(),
            "--quota-backend-bytes=8589934592".to_owned(),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            // There is no other member, so nobody needs to know this port.
            "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
            "--initial-cluster=default=http://localhost:2380".to_owned(),
            "--log-level=warn".to_owned(),
        ]);
        // The members of an archived cluster had other addresses.
        let is_archived = self.options.etcd_archive.is_some();
        Ok(spec.args(is_archived.then_some("--force-new-cluster")))
    }

    pub(crate) fn api_server(&self) -> Result<ProcessSpec> {
        let policy = self.directory.join("audit-policy.yaml");
        std::fs::write(&policy, AUDIT_POLICY).map_err(Error::file("write", &policy))?;
        let credentials = self.credentials;
        let mut spec = self.spec("kube-apiserver")?.args([
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.api_server_port),
            format!("--tls-cert-file={}", credentials.certificate_file.display()),
            format!("--tls-private-key-file={}", credentials.key_file.display()),
            // Without these two, a machine that has only a loopback interface is refused.
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--token-auth-file={}", credentials.token_file.display()),
            "--authorization-mode=RBAC".to_owned(),
            format!(
                "--service-account-key-file={}",
                credentials.service_account_public_key_file.display()
            ),
            format!(
                "--service-account-signing-key-file={}",
                credentials.service_account_key_file.display()
            ),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", audit_log(self.directory).display()),
            // One that was begun anew would have lost what marks point at.
            format!("--audit-log-maxsize={AUDIT_LOG_MEBIBYTES}"),
        ]);
        if !self.options.controllers {
            // Nobody makes the default service accounts that this plugin insists on, or takes the taints off new nodes.
            spec = spec.args(["--disable-admission-plugins=ServiceAccount,TaintNodesByCondition"]);
        }
        if self.minor() < POLICIES_SINCE {
            spec = spec.args([
                "--feature-gates=ValidatingAdmissionPolicy=true",
                "--runtime-config=admissionregistration.k8s.io/v1alpha1=true",
            ]);
        }
        Ok(spec.args(self.feature_gates()).args(&self.options.api_server_args))
    }

    pub(crate) fn controller_manager(&self, server_url: &str) -> Result<ProcessSpec> {
        let kubeconfig =
            self.kubeconfig("kube-controller-manager", CONTROLLER_MANAGER, server_url)?;
        let spec = self.spec("kube-controller-manager")?.args(UNTHROTTLED).args([
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--use-service-account-credentials".to_owned(),
            format!(
                "--service-account-private-key-file={}",
                self.credentials.service_account_key_file.display()
            ),
            format!("--root-ca-file={}", self.credentials.ca_file.display()),
            "--controllers=*,-nodeipam,-attachdetach".to_owned(),
            format!(
                "--node-monitor-grace-period={}ms",
                self.options.node_monitor_grace.as_millis()
            ),
            "--node-monitor-period=1s".to_owned(),
        ]);
        Ok(spec.args(self.feature_gates()).args(&self.options.controller_manager_args))
    }

    pub(crate) fn scheduler(&self, server_url: &str) -> Result<ProcessSpec> {
        let kubeconfig = self.kubeconfig("kube-scheduler", SCHEDULER, server_url)?;
        let spec = self.spec("kube-scheduler")?.args(UNTHROTTLED).args([
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ]);
        Ok(spec.args(self.feature_gates()))
    }

    /// The minor version; the newest that there can be when it is no number.
    fn minor(&self) -> u32 {
        let minor = self.options.kubernetes_version.split('.').nth(1);
        minor.and_then(|it| it.parse().ok()).unwrap_or(u32::MAX)
    }

    fn spec(&self, name: &str) -> Result<ProcessSpec> {
        Ok(ProcessSpec::new(name, &binary(&self.options.kubernetes_version, name)?))
    }

    fn kubeconfig(&self, component: &str, user: &str, server_url: &str) -> Result<PathBuf> {
        let path = self.directory.join(format!("{component}.kubeconfig"));
        write_private(&path, &self.credentials.kubeconfig_of(user, server_url).to_string())?;
        Ok(path)
    }

    fn feature_gates(&self) -> Option<String> {
        let gates: &BTreeMap<String, bool> = &self.options.feature_gates;
        let list: Vec<String> = gates.iter().map(|(gate, on)| format!("{gate}={on}")).collect();
        (!list.is_empty()).then(|| format!("--feature-gates={}", list.join(",")))
    }
}

/// Where etcd keeps its data.
pub(crate) fn etcd_data(directory: &Path) -> PathBuf {
    directory.join("etcd")
}

/// Where the API server writes its audit events.
pub(crate) fn audit_log(directory: &Path) -> PathBuf {
    directory.join("audit.log")
}

/// A binary that `make control-plane` has built.
pub(crate) fn binary(version: &str, name: &str) -> Result<PathBuf> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../control-plane/.cache");
    let path = cache.join(version).join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::NotBuilt { version: version.to_owned(), path })
    }
}
