//! Making the API server refuse requests.

use anyhow::{Context as _, Result};
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::{Api, Client, discovery};
use lws_harness::wait;
use serde_json::json;

use crate::{CONTROLLER, DEADLINE, Namespace};

/// What to refuse in a namespace.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The API group of the resource.
    pub group: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'a str,
    /// In CEL: which requests of the controller are allowed nevertheless.
    pub allowed: &'a str,
    /// In CEL: the text of the refusal.
    pub message: &'a str,
}

/// A refusal that is in effect.
pub struct Refused {
    bindings: Api<DynamicObject>,
    name: String,
}

/// The kind in the newest version of the API that the server has.
async fn kind(client: &Client, name: &str) -> Result<ApiResource> {
    let group = discovery::group(client, "admissionregistration.k8s.io").await?;
    let found = group.resources_by_stability().into_iter().find(|(it, _)| it.kind == name);
    Ok(found.with_context(|| format!("the server has no {name}"))?.0)
}

impl Refused {
    /// Refuses requests of the controller in `namespace`, from now on. `probe` makes a request, best as a dry run,
    /// that is refused whoever makes it, and answers its error.
    pub async fn start(
        namespace: &Namespace,
        refusal: Refusal<'_>,
        probe: impl AsyncFn() -> kube::Result<()>,
    ) -> Result<Self> {
        let (client, name) = (namespace.client(), namespace.name());
        let policies = kind(&client, "ValidatingAdmissionPolicy").await?;
        let policy = DynamicObject::new(name, &policies).data(json!({
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [refusal.group],
                    "apiVersions": ["*"],
                    "resources": [refusal.resource],
                    "operations": [refusal.operation],
                }]},
                // Dry runs are how it is known that the policy is in effect.
                "matchConditions": [{"name": "who", "expression": format!(
                    "request.userInfo.username == '{CONTROLLER}' || request.dryRun"
                )}],
                "validations": [{
                    "expression": refusal.allowed,
                    "messageExpression": refusal.message,
                }],
            },
        }));
        let bindings = kind(&client, "ValidatingAdmissionPolicyBinding").await?;
        let binding = DynamicObject::new(name, &bindings).data(json!({
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": name},
                }},
            },
        }));
        let params = PostParams::default();
        Api::all_with(client.clone(), &policies).create(&params, &policy).await?;
        let bindings: Api<DynamicObject> = Api::all_with(client, &bindings);
        bindings.create(&params, &binding).await?;
        let description = "the API server refuses what the policy says";
        let refused = async || match probe().await {
            Err(kube::Error::Api(status))
                if status.message.contains("ValidatingAdmissionPolicy") =>
            {
                Ok(Some(()))
            }
            outcome => outcome.map(|()| None),
        };
        wait::eventually(DEADLINE, description, refused).await?;
        Ok(Self { bindings, name: name.to_owned() })
    }

    /// Refuses the workers of group 1 of set `test-sample`, as a quota would, from now on.
    pub async fn group(namespace: &Namespace) -> Result<Self> {
        let refusal = Refusal {
            group: "apps",
            resource: "statefulsets",
            operation: "CREATE",
            allowed: "object.metadata.name != 'test-sample-1'",
            message: "'exceeded quota: groups=1'",
        };
        let probe = serde_json::from_value(json!({
            "metadata": {"name": "test-sample-1"},
            "spec": {
                "selector": {"matchLabels": {"app": "probe"}},
                "template": {
                    "metadata": {"labels": {"app": "probe"}},
                    "spec": {"containers": [{"name": "c", "image": "example.org/c"}]},
                },
            },
        }))?;
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let stateful_sets = namespace.stateful_sets();
        let probe = async || stateful_sets.create(&params, &probe).await.map(drop);
        Self::start(namespace, refusal, probe).await
    }

    /// Refuses nothing any more; requests may still be refused for a moment.
    pub async fn stop(self) -> Result<()> {
        self.bindings.delete(&self.name, &DeleteParams::default()).await.context("binding")?;
        Ok(())
    }
}
