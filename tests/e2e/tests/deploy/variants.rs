//! Components, and overlays as users write them.

use std::os::unix::fs::symlink;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::tools::{deploy, kustomize, object};

/// Renders the shipped manifests in another namespace, with components on top.
fn overlay(components: &[&str]) -> Result<Vec<Value>> {
    let directory = tempfile::tempdir()?;
    symlink(deploy("").canonicalize()?, directory.path().join("deploy"))?;
    let write = |name: &str, content: Value| -> Result<()> {
        let path = directory.path().join(name);
        std::fs::create_dir(&path)?;
        Ok(std::fs::write(path.join("kustomization.yaml"), content.to_string())?)
    };
    write("elsewhere", json!({"namespace": "elsewhere", "resources": ["../deploy/default"]}))?;
    let components: Vec<String> =
        components.iter().map(|it| format!("../deploy/components/{it}")).collect();
    write("top", json!({"resources": ["../elsewhere"], "components": components}))?;
    kustomize(&directory.path().join("top"))
}

/// The texts that name the namespace of the shipped manifests.
fn left_behind(object: &Value, path: &str, found: &mut Vec<String>) {
    match object {
        Value::String(text) if text.contains("lws-system") => found.push(path.to_owned()),
        Value::Array(items) => items.iter().for_each(|it| left_behind(it, path, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                left_behind(value, &format!("{path}/{key}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn everything_moves_to_another_namespace() -> Result<()> {
    let all = ["alerts", "cert-manager", "dashboard", "network-policy", "prometheus", "volcano"];
    let objects = overlay(&all)?;
    let mut found = Vec::new();
    for it in &objects {
        left_behind(it, &format!("{} {}", it["kind"], it["metadata"]["name"]), &mut found);
    }
    ensure!(found.is_empty(), "{found:?}");
    let names = &object(&objects, "Certificate", "lws-serving-cert")?["spec"]["dnsNames"];
    let expected =
        ["lws-webhook-service.elsewhere.svc", "lws-webhook-service.elsewhere.svc.cluster.local"];
    ensure!(*names == json!(expected), "{names}");
    let names = &object(&objects, "Certificate", "lws-metrics-cert")?["spec"]["dnsNames"];
    let service = "lws-controller-manager-metrics-service.elsewhere.svc";
    ensure!(*names == json!([service, format!("{service}.cluster.local")]), "{names}");
    Ok(())
}

/// As the documentation has it.
#[test]
fn everything_gets_a_prefix_but_what_the_controller_finds_by_its_name() -> Result<()> {
    let objects = prefixed(&[])?;
    let [service, secret] = ["team-lws-webhook-service", "team-lws-webhook-server-cert"];
    lead_to(&objects, service)?;
    object(&objects, "Service", service)?;
    object(&objects, "Secret", secret)?;
    let role = object(&objects, "Role", "team-lws-certificate-role")?;
    ensure!(role["rules"][0]["resourceNames"] == json!([secret]), "{role}");
    let webhook = object(&objects, "Deployment", "team-lws-webhook")?;
    let mounted = &webhook["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"];
    ensure!(mounted == secret, "{mounted} is mounted");
    let configuration = object(&objects, "ConfigMap", "team-lws-manager-config")?;
    let configuration = configuration["data"]["controller_manager_config.yaml"].as_str();
    let configuration: Value = serde_saphyr::from_str(configuration.context("no configuration")?)?;
    let names = &configuration["internalCertManagement"];
    let expected = json!({"webhookServiceName": service, "webhookSecretName": secret});
    ensure!(*names == expected, "{names}");
    Ok(())
}

/// Renders the two kustomizations that the documentation has for a prefix, with these components instead of the
/// configuration.
fn prefixed(components: &[&str]) -> Result<Vec<Value>> {
    let docs = std::fs::read_to_string(deploy("../docs/install.md"))?;
    let (_, told) = docs.split_once("A prefix takes two").context("it is not told of")?;
    let blocks = told.split("```yaml\n").skip(1).map(|it| it.split("```").next());
    let directory = tempfile::tempdir()?;
    symlink(deploy("").canonicalize()?, directory.path().join("deploy"))?;
    for (name, block) in ["prefixed", "top"].into_iter().zip(blocks) {
        let mut content: Value = serde_saphyr::from_str(block.context("a block")?)?;
        if name == "top" && !components.is_empty() {
            content["configMapGenerator"] = json!([]);
            content["components"] = json!(components);
        }
        let path = directory.path().join(name);
        std::fs::create_dir(&path)?;
        std::fs::write(path.join("kustomization.yaml"), content.to_string())?;
    }
    kustomize(&directory.path().join("top"))
}

/// Fails unless all entries lead to this Service.
fn lead_to(objects: &[Value], service: &str) -> Result<()> {
    for (kind, name) in [
        ("MutatingWebhookConfiguration", "lws-mutating-webhook-configuration"),
        ("ValidatingWebhookConfiguration", "lws-validating-webhook-configuration"),
    ] {
        for entry in object(objects, kind, name)?["webhooks"].as_array().context(name)? {
            ensure!(entry["clientConfig"]["service"]["name"] == service, "{entry}");
        }
    }
    Ok(())
}

#[test]
fn certificates_of_cert_manager_are_for_services_with_a_prefix() -> Result<()> {
    let objects = prefixed(&["../deploy/components/cert-manager"])?;
    lead_to(&objects, "team-lws-webhook-service")?;
    for (certificate, service) in [
        ("lws-serving-cert", "team-lws-webhook-service"),
        ("lws-metrics-cert", "team-lws-controller-manager-metrics-service"),
    ] {
        object(&objects, "Service", service)?;
        let names = &object(&objects, "Certificate", certificate)?["spec"]["dnsNames"];
        let host = format!("{service}.lws-system.svc");
        ensure!(*names == json!([host, format!("{host}.cluster.local")]), "{names}");
    }
    takes_the_place_of_the_controller(&objects, "team-", "lws-system")
}

#[test]
fn cert_manager_takes_the_place_of_the_controller() -> Result<()> {
    takes_the_place_of_the_controller(&overlay(&["cert-manager"])?, "", "elsewhere")
}

/// What there is already has this prefix.
fn takes_the_place_of_the_controller(
    objects: &[Value],
    prefix: &str,
    namespace: &str,
) -> Result<()> {
    let prefixed = |name: &str| format!("{prefix}{name}");
    for (kind, name) in [
        ("Secret", "lws-webhook-server-cert"),
        ("Role", "lws-certificate-role"),
        ("RoleBinding", "lws-certificate-rolebinding"),
        ("ClusterRole", "lws-certificate-role"),
        ("ClusterRoleBinding", "lws-certificate-rolebinding"),
    ] {
        ensure!(object(objects, kind, &prefixed(name)).is_err(), "{kind} {name} is still there");
    }
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let configuration = objects.iter().find(|it| it["kind"] == kind).context(kind)?;
        let from = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
        ensure!(*from == format!("{namespace}/lws-serving-cert"), "{kind}: {from}");
    }
    // What the webhook serves does not depend on when its volume learns of it.
    let authority = object(objects, "Certificate", "lws-ca")?;
    let issuer = object(objects, "Issuer", "lws-ca-issuer")?;
    let signs = &issuer["spec"]["ca"]["secretName"];
    ensure!(
        *signs == authority["spec"]["secretName"] && authority["spec"]["isCA"] == true,
        "{signs}"
    );
    let certificate = object(objects, "Certificate", "lws-serving-cert")?;
    ensure!(certificate["spec"]["issuerRef"]["name"] == "lws-ca-issuer", "{certificate}");
    let webhook = object(objects, "Deployment", &prefixed("lws-webhook"))?;
    let mounted = &webhook["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"];
    ensure!(*mounted == certificate["spec"]["secretName"], "{mounted} is mounted");
    let certificate = object(objects, "Certificate", "lws-metrics-cert")?;
    for name in ["lws-webhook", "lws-controller-manager"] {
        let pod = &object(objects, "Deployment", &prefixed(name))?["spec"]["template"]["spec"];
        let volumes = pod["volumes"].as_array().context("no volumes")?;
        let mounted = &volumes.last().context("no volume")?["secret"];
        ensure!(mounted["secretName"] == certificate["spec"]["secretName"], "{name}: {mounted}");
        ensure!(mounted["optional"] == true, "{name} waits for it");
    }
    let configuration = object(objects, "ConfigMap", &prefixed("lws-manager-config"))?;
    let configuration = configuration["data"]["controller_manager_config.yaml"].as_str();
    let configuration: Value = serde_saphyr::from_str(configuration.context("no configuration")?)?;
    ensure!(configuration["internalCertManagement"]["enable"] == false, "{configuration}");
    Ok(())
}

#[test]
fn network_policies_let_in_who_calls_and_out_what_asks() -> Result<()> {
    let objects = overlay(&["network-policy"])?;
    for (name, served) in
        [("lws-webhook", &[9443, 8081, 8443][..]), ("lws-controller-manager", &[8081, 8443])]
    {
        let policy = object(&objects, "NetworkPolicy", name)?;
        for (direction, expected) in [("ingress", served), ("egress", &[443, 6443])] {
            let rules = &policy["spec"][direction];
            let ports: Vec<_> =
                expected.iter().map(|it| json!({"port": it, "protocol": "TCP"})).collect();
            ensure!(*rules == json!([{"ports": ports}]), "{name} {direction}: {rules}");
        }
    }
    Ok(())
}

#[test]
fn volcano_adds_one_rule() -> Result<()> {
    let rules = |objects: &[Value]| -> Result<Vec<Value>> {
        let role = object(objects, "ClusterRole", "lws-manager-role")?;
        Ok(role["rules"].as_array().context("no rules")?.clone())
    };
    let [plain, volcano] = [rules(&overlay(&[])?)?, rules(&overlay(&["volcano"])?)?];
    let (last, others) = volcano.split_last().context("no rules")?;
    ensure!(others == plain, "{others:?}");
    ensure!(last["apiGroups"] == json!(["scheduling.volcano.sh"]), "{last}");
    Ok(())
}

#[test]
fn prometheus_finds_the_service() -> Result<()> {
    let objects = overlay(&["prometheus"])?;
    let service = object(&objects, "Service", "lws-controller-manager-metrics-service")?;
    let monitor = object(&objects, "ServiceMonitor", "lws-controller-manager-metrics-monitor")?;
    let selected = &monitor["spec"]["selector"]["matchLabels"];
    ensure!(*selected == service["metadata"]["labels"], "{selected}");
    let endpoint = &monitor["spec"]["endpoints"][0];
    ensure!(endpoint["port"] == service["spec"]["ports"][0]["name"], "{endpoint}");
    ensure!(endpoint["honorLabels"] == true, "{endpoint}");
    for name in ["lws-webhook", "lws-controller-manager"] {
        let pods = &object(&objects, "Deployment", name)?["spec"]["template"];
        let selector = service["spec"]["selector"].as_object().context("no selector")?;
        let labels = &pods["metadata"]["labels"];
        ensure!(selector.iter().all(|(key, it)| labels[key] == *it), "{name}: {labels}");
    }
    Ok(())
}

#[test]
fn grafana_and_prometheus_find_what_they_look_for_in_the_namespace_of_the_system() -> Result<()> {
    let objects = overlay(&["alerts", "dashboard"])?;
    let dashboard = object(&objects, "ConfigMap", "lws-dashboard")?;
    let file = std::fs::read_to_string(deploy("components/dashboard/lws.json"))?;
    ensure!(dashboard["data"]["lws.json"] == *file, "{dashboard}");
    ensure!(dashboard["metadata"]["labels"]["grafana_dashboard"] == "1", "{dashboard}");
    let alerts = object(&objects, "PrometheusRule", "lws-alerts")?;
    for it in [dashboard, alerts] {
        ensure!(it["metadata"]["namespace"] == "elsewhere", "{}", it["metadata"]);
    }
    Ok(())
}

/// The one file is what the kustomization gives.
#[test]
fn the_manifests_are_up_to_date() -> Result<()> {
    let text = std::fs::read_to_string(deploy("manifests.yaml"))?;
    let written = crate::tools::objects(&text)?;
    ensure!(written == kustomize(&deploy("default"))?, "run `make generate`");
    Ok(())
}
