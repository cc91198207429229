//! The chart: the same objects as the manifests, values that do what they say, and releases that come and go.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use lws_e2e::DEADLINE;
use lws_harness::system::NAMESPACE;
use lws_harness::{Cluster, wait};
use serde_json::{Map, Value, json};

use crate::tools::{Said, cluster, deploy, kubectl, kustomize, object, objects};

/// The helm that `make helm` has built.
fn helm() -> Result<std::process::Command> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm");
    let modules = std::fs::read_to_string(directory.join("go.mod"))?;
    let version = modules.lines().find_map(|it| it.split_once("helm.sh/helm/v4 v"));
    let (_, version) = version.context("no version in go.mod")?;
    let version = version.split(' ').next().unwrap_or_default();
    let program = directory.join(".cache").join(version).join("helm");
    ensure!(program.exists(), "{} is missing: run `make helm` first", program.display());
    let mut command = std::process::Command::new(program);
    // It looks at nothing of the user's.
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, env!("CARGO_TARGET_TMPDIR"));
    }
    Ok(command)
}

/// What the chart gives for these values, as release `release` in namespace `lws-system`.
fn rendered(release: &str, values: &Value) -> Result<Said> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), values.to_string())?;
    let mut command = helm()?;
    command.args(["template", release]).arg(deploy("chart")).args(["--namespace", NAMESPACE]);
    let output = command.arg("--values").arg(file.path()).output()?;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    let succeeded = output.status.success();
    Ok(Said { succeeded, text: if succeeded { out } else { err } })
}

fn with(values: &Value) -> Result<Vec<Value>> {
    let said = rendered("lws", values)?;
    ensure!(said.succeeded, "{values}: {}", said.text);
    objects(&said.text)
}

#[test]
fn it_is_in_order() -> Result<()> {
    let said = Said::from(helm()?.arg("lint").arg("--strict").arg(deploy("chart")).output()?);
    said.expect(&["1 chart(s) linted, 0 chart(s) failed"])
}

/// Leaves out what a chart has besides: its labels, the checksum, and what says the default.
fn comparable(mut object: Value) -> Value {
    fn strip(value: &mut Value) {
        if let Value::Object(fields) = value {
            for key in
                ["helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"]
            {
                fields.remove(key);
            }
            fields.remove("checksum/configuration");
            if fields.get("imagePullPolicy") == Some(&json!("IfNotPresent")) {
                fields.remove("imagePullPolicy");
            }
        }
        match value {
            Value::Object(fields) => fields.values_mut().for_each(strip),
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut object);
    object
}

#[test]
fn its_objects_are_those_of_the_manifests() -> Result<()> {
    let chart = with(&json!({}))?;
    let manifests = kustomize(&deploy("default"))?;
    for it in &chart {
        let [kind, name] =
            [&it["kind"], &it["metadata"]["name"]].map(|it| it.as_str().unwrap_or_default());
        let shipped = comparable(object(&manifests, kind, name)?.clone());
        let it = comparable(it.clone());
        ensure!(it == shipped, "{kind} {name}\nchart:     {it}\nmanifests: {shipped}");
    }
    // Helm makes the namespace and brings the definition; the roles for users are not in the existing chart either, and
    // the metrics Service is an option of it.
    let only_there = manifests.iter().filter(|it| {
        let [kind, name] =
            [&it["kind"], &it["metadata"]["name"]].map(|it| it.as_str().unwrap_or_default());
        object(&chart, kind, name).is_err()
    });
    let only_there: Vec<String> =
        only_there.map(|it| format!("{} {}", it["kind"], it["metadata"]["name"])).collect();
    let expected = [
        r#""Namespace" "lws-system""#,
        r#""CustomResourceDefinition" "leaderworkersets.leaderworkerset.x-k8s.io""#,
        r#""ClusterRole" "lws-leaderworkerset-editor-role""#,
        r#""ClusterRole" "lws-leaderworkerset-viewer-role""#,
        r#""Service" "lws-controller-manager-metrics-service""#,
    ];
    ensure!(only_there == expected, "{only_there:?}");
    let definition = deploy("crd/leaderworkersets.leaderworkerset.x-k8s.io.yaml").canonicalize()?;
    let crds: Vec<_> = std::fs::read_dir(deploy("chart/crds"))?.collect::<Result<_, _>>()?;
    ensure!(crds.len() == 1 && crds[0].path().canonicalize()? == definition, "{crds:?}");
    Ok(())
}

/// The field of an object, by a path such as `/spec/replicas`.
fn field(objects: &[Value], kind: &str, name: &str, path: &str) -> Result<Value> {
    let found = object(objects, kind, name)?.pointer(path);
    Ok(found.cloned().unwrap_or(Value::Null))
}

/// The configuration of both processes.
fn configuration(objects: &[Value]) -> Result<Value> {
    let path = "/data/controller_manager_config.yaml";
    let text = field(objects, "ConfigMap", "lws-manager-config", path)?;
    Ok(serde_saphyr::from_str(text.as_str().context("no configuration")?)?)
}

const CONTROLLER: &str = "lws-controller-manager";
const WEBHOOK: &str = "lws-webhook";

#[test]
fn values_of_pods_take_effect_on_both() -> Result<()> {
    for (values, path, expected) in [
        (json!({"replicaCount": 1}), "/spec/replicas", json!(1)),
        (json!({"imagePullSecrets": [{"name": "s"}]}), "/imagePullSecrets", json!([{"name": "s"}])),
        (
            json!({"podAnnotations": {"a": "b"}}),
            "/spec/template/metadata/annotations/a",
            json!("b"),
        ),
        (json!({"podSecurityContext": {"runAsUser": 7}}), "/securityContext/runAsUser", json!(7)),
        (
            json!({"securityContext": {"privileged": false}}),
            "/containers/0/securityContext/privileged",
            json!(false),
        ),
        (json!({"priorityClassName": "high"}), "/priorityClassName", json!("high")),
        (json!({"nodeSelector": {"a": "b"}}), "/nodeSelector", json!({"a": "b"})),
        (json!({"tolerations": [{"key": "a"}]}), "/tolerations", json!([{"key": "a"}])),
        (json!({"affinity": {"podAffinity": {}}}), "/affinity", json!({"podAffinity": {}})),
        (
            json!({"image": {"manager": {"repository": "r", "tag": ""}}}),
            "/containers/0/image",
            json!("r:v0.1.0"),
        ),
        (
            json!({"image": {"manager": {"pullPolicy": "Always"}}}),
            "/containers/0/imagePullPolicy",
            json!("Always"),
        ),
    ] {
        let path = if path.starts_with("/spec") {
            path.to_owned()
        } else {
            format!("/spec/template/spec{path}")
        };
        let objects = with(&values)?;
        for name in [CONTROLLER, WEBHOOK] {
            let found = field(&objects, "Deployment", name, &path)?;
            ensure!(found == expected, "{values} {name}: {found}");
        }
    }
    Ok(())
}

/// Whoever takes a default away has none.
#[test]
fn what_is_null_is_left_out() -> Result<()> {
    let pod = "/spec/template/spec/securityContext";
    let objects = with(&json!({"podSecurityContext": {"fsGroup": null, "runAsUser": null}}))?;
    for name in [CONTROLLER, WEBHOOK] {
        let context = field(&objects, "Deployment", name, pod)?;
        let expected = json!({
            "runAsNonRoot": true,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        });
        ensure!(context == expected, "{name}: {context}");
    }
    let values = json!({
        "podSecurityContext": null, "securityContext": null, "podAnnotations": null, "resources": null,
        "webhook": {"resources": null},
    });
    let objects = with(&values)?;
    for (name, expected) in [(CONTROLLER, json!({})), (WEBHOOK, json!({"fsGroup": 65532}))] {
        let context = field(&objects, "Deployment", name, pod)?;
        ensure!(context == expected, "{name}: {context}");
        let container = "/spec/template/spec/containers/0";
        let container = field(&objects, "Deployment", name, container)?;
        ensure!(container["securityContext"] == json!({}), "{name}: {container}");
        ensure!(container["resources"].is_null(), "{name}: {container}");
    }
    Ok(())
}

#[test]
fn each_other_value_takes_effect() -> Result<()> {
    let resources = "/spec/template/spec/containers/0/resources";
    let objects =
        with(&json!({"resources": {"limits": null, "requests": {"cpu": 1, "memory": "1Gi"}}}))?;
    let found = field(&objects, "Deployment", CONTROLLER, resources)?;
    ensure!(found == json!({"requests": {"cpu": 1, "memory": "1Gi"}}), "{found}");

    let objects = with(&json!({"service": {"port": 9555}}))?;
    let port = field(&objects, "Service", "lws-webhook-service", "/spec/ports/0/targetPort")?;
    ensure!(port == 9555 && configuration(&objects)?["webhook"]["port"] == 9555, "{port}");

    let objects = with(&json!({"gangSchedulingManagement": {"schedulerProvider": "volcano"}}))?;
    let gang = &configuration(&objects)?["gangSchedulingManagement"];
    ensure!(*gang == json!({"schedulerProvider": "volcano"}), "{gang}");
    let rules = field(&objects, "ClusterRole", "lws-manager-role", "/rules")?;
    ensure!(rules.to_string().contains("podgroups"), "{rules}");
    let bindings = object(&objects, "ClusterRoleBinding", "lws-manager-rolebinding")?;
    ensure!(bindings.get("rules").is_none(), "{bindings}");

    let objects = with(&json!({"enablePrometheus": true, "service": {"type": "NodePort"}}))?;
    let name = "lws-controller-manager-metrics-service";
    let kind = field(&objects, "Service", name, "/spec/type")?;
    ensure!(kind == "NodePort", "{kind}");
    let port = field(&objects, "Service", name, "/spec/ports/0/name")?;
    let monitor = "lws-controller-manager-metrics-monitor";
    let scraped = field(&objects, "ServiceMonitor", monitor, "/spec/endpoints/0/port")?;
    ensure!(port == "https" && scraped == port, "{port} {scraped}");
    let selected = field(&objects, "ServiceMonitor", monitor, "/spec/selector/matchLabels")?;
    let labels = field(&objects, "Service", name, "/metadata/labels")?;
    let matches =
        |selector: &Map<String, Value>| selector.iter().all(|(key, it)| labels[key] == *it);
    ensure!(selected.as_object().is_some_and(matches), "{selected}");

    let objects = with(&json!({"networkPolicy": {"enabled": true}}))?;
    let port = "/spec/ingress/0/ports/0/port";
    ensure!(field(&objects, "NetworkPolicy", WEBHOOK, port)? == 9443, "{objects:?}");
    Ok(())
}

#[test]
fn cert_manager_takes_the_place_of_the_controller() -> Result<()> {
    let objects = with(&json!({"enableCertManager": true}))?;
    ensure!(object(&objects, "Secret", "lws-webhook-server-cert").is_err(), "there is a Secret");
    ensure!(object(&objects, "Role", "lws-certificate-role").is_err(), "there is a role");
    ensure!(configuration(&objects)?["internalCertManagement"]["enable"] == false, "it is on");
    let names = field(&objects, "Certificate", "lws-serving-cert", "/spec/dnsNames/0")?;
    ensure!(names == "lws-webhook-service.lws-system.svc", "{names}");
    let names = field(&objects, "Certificate", "lws-ca", "/spec/dnsNames")?;
    ensure!(names.is_null(), "the authority is {names}");
    let name = "lws-mutating-webhook-configuration";
    let path = "/metadata/annotations/cert-manager.io~1inject-ca-from";
    let from = field(&objects, "MutatingWebhookConfiguration", name, path)?;
    ensure!(from == "lws-system/lws-serving-cert", "{from}");
    for name in [CONTROLLER, WEBHOOK] {
        let volumes = field(&objects, "Deployment", name, "/spec/template/spec/volumes")?;
        ensure!(volumes.to_string().contains("lws-metrics-server-cert"), "{name}: {volumes}");
    }
    Ok(())
}

#[test]
fn scrapers_verify_what_cert_manager_has_issued() -> Result<()> {
    let objects = with(&json!({"enableCertManager": true, "enablePrometheus": true}))?;
    let certificate = object(&objects, "Certificate", "lws-metrics-cert")?;
    let monitor = "lws-controller-manager-metrics-monitor";
    let endpoint = field(&objects, "ServiceMonitor", monitor, "/spec/endpoints/0")?;
    let tls = &endpoint["tlsConfig"];
    ensure!(tls["serverName"] == certificate["spec"]["dnsNames"][0], "{tls}");
    ensure!(tls["ca"]["secret"]["name"] == certificate["spec"]["secretName"], "{tls}");
    ensure!(tls.get("insecureSkipVerify").is_none(), "{tls}");
    let plain = with(&json!({"enablePrometheus": true}))?;
    let mut plain = field(&plain, "ServiceMonitor", monitor, "/spec/endpoints/0")?;
    ensure!(plain["tlsConfig"] == json!({"insecureSkipVerify": true}), "{plain}");
    plain["tlsConfig"] = tls.clone();
    ensure!(plain == endpoint, "{plain} {endpoint}");
    Ok(())
}

#[test]
fn names_follow_the_release() -> Result<()> {
    for (release, values, expected) in [
        ("lws", json!({}), "lws-webhook"),
        ("mine", json!({}), "mine-lws-webhook"),
        ("my-lws", json!({}), "my-lws-webhook"),
        ("mine", json!({"nameOverride": "other"}), "mine-other-webhook"),
        ("mine", json!({"fullnameOverride": "all"}), "all-webhook"),
    ] {
        let objects = objects(&rendered(release, &values)?.text)?;
        object(&objects, "Deployment", expected)?;
        object(&objects, "Service", "lws-webhook-service")?;
    }
    Ok(())
}

#[test]
fn what_is_not_understood_is_refused() -> Result<()> {
    for (values, reason) in [
        (json!({"replicaCont": 1}), "additional properties 'replicaCont' not allowed"),
        (json!({"replicaCount": "2"}), "at '/replicaCount': got string, want integer"),
        (json!({"service": {"port": 80}}), "minimum: got 80, want 1,024"),
        (json!({"gangSchedulingManagement": {"schedulerProvider": "x"}}), "must be 'volcano'"),
        (json!({"enableDisaggregatedSet": true}), "enableDisaggregatedSet is not supported"),
        (json!({"webhook": null}), "at '': missing property 'webhook'"),
        (json!({"image": {"manager": null}}), "at '/image': missing property 'manager'"),
        (json!({"service": {"port": null}}), "at '/service': missing property 'port'"),
        (json!({"replicaCount": null}), "at '': missing property 'replicaCount'"),
    ] {
        rendered("lws", &values)?.expect_failure(&[reason])?;
    }
    Ok(())
}

async fn released(cluster: &Cluster, args: &[&str]) -> Result<Said> {
    let mut command = tokio::process::Command::from(helm()?);
    command.args(args).args(["--namespace", NAMESPACE]);
    command.env("KUBECONFIG", cluster.kubeconfig()).kill_on_drop(true);
    Ok(command.output().await?.into())
}

#[tokio::test]
async fn a_release_comes_changes_and_goes_and_sets_stay() -> Result<()> {
    let cluster = &cluster().await?;
    let chart = deploy("chart");
    let chart = chart.to_string_lossy();
    let install = ["install", "lws", &chart, "--create-namespace"];
    released(cluster, &install).await?.expect(&["STATUS: deployed"])?;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), NAMESPACE);
    for name in [CONTROLLER, WEBHOOK] {
        let available = async || {
            let deployment = deployments.get(name).await?;
            Ok::<_, kube::Error>(deployment.status.and_then(|it| it.available_replicas))
        };
        let description = format!("two replicas of {name} are available");
        wait::until(DEADLINE, &description, available, |it| *it == Some(2)).await?;
    }

    // As the controller does.
    let secret = r#"{"stringData": {"tls.crt": "c"}}"#;
    let store = ["patch", "secret", "lws-webhook-server-cert", "-n", NAMESPACE, "-p", secret];
    kubectl(cluster, &[&store[..], &["--field-manager=lws"]].concat()).await?;
    let bundle =
        json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": ca_bundle()?}]);
    let bundle = bundle.to_string();
    let configuration = "mutatingwebhookconfiguration/lws-mutating-webhook-configuration";
    let trust = ["patch", configuration, "--type=json", "-p", &bundle, "--field-manager=lws"];
    kubectl(cluster, &trust).await?;
    let upgrade = ["upgrade", "lws", &chart, "--set", "replicaCount=1"];
    released(cluster, &upgrade).await?.expect(&["REVISION: 2"])?;
    let path = "jsonpath={.data.tls\\.crt}";
    let stored = ["get", "secret", "lws-webhook-server-cert", "-n", NAMESPACE, "-o", path];
    ensure!(kubectl(cluster, &stored).await? == "Yw==", "the certificate is gone");
    let path = "jsonpath={.webhooks[0].clientConfig.caBundle}";
    let trusted = kubectl(cluster, &["get", configuration, "-o", path]).await?;
    ensure!(!trusted.is_empty(), "the trust is gone");

    // Nobody serves here, so nobody is to be asked.
    for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        kubectl(cluster, &["delete", kind, "--all"]).await?;
    }
    let sample = deploy("samples/lws.yaml");
    kubectl(cluster, &["apply", "--server-side", "-f", &sample.to_string_lossy()]).await?;
    released(cluster, &["uninstall", "lws"]).await?.expect(&["release \"lws\" uninstalled"])?;
    let left = kubectl(cluster, &["get", "leaderworkersets", "-o", "name"]).await?;
    ensure!(left.contains("leaderworkerset-sample"), "the set is gone: {left}");
    Ok(())
}

/// An authority, as configurations hold it.
fn ca_bundle() -> Result<String> {
    use base64::Engine as _;
    let lifetime = lws_certs::issue::AUTHORITY_LIFETIME;
    let authority = lws_certs::issue::Authority::generate(jiff::Timestamp::now(), lifetime)?;
    Ok(base64::prelude::BASE64_STANDARD.encode(&authority.pair().certificate_pem))
}
