//! Making the API server refuse requests.

use anyhow::{Context as _, Result};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
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
    namespace: Namespace,
}

impl Refused {
    /// Refuses requests of the controller in `namespace`, from now on. `probe` makes a request, best as a dry run,
    /// that is refused whoever makes it, and answers its error.
    pub async fn start(
        namespace: &Namespace,
        refusal: Refusal<'_>,
        probe: impl AsyncFn() -> kube::Result<()>,
    ) -> Result<Self> {
        let name = namespace.name();
        let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
            "metadata": {"name": name},
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
        }))?;
        let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": name},
                }},
            },
        }))?;
        let params = PostParams::default();
        Api::all(namespace.client()).create(&params, &policy).await?;
        Api::all(namespace.client()).create(&params, &binding).await?;
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
        Ok(Self { namespace: namespace.clone() })
    }

    /// Refuses nothing any more; requests may still be refused for a moment.
    pub async fn stop(self) -> Result<()> {
        let api: Api<ValidatingAdmissionPolicyBinding> = Api::all(self.namespace.client());
        api.delete(self.namespace.name(), &DeleteParams::default()).await.context("binding")?;
        Ok(())
    }
}
