//! Objects that are no sets: whoever refuses them names the field and the value.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::cases::each;
use crate::requests::{send, with_json};
use crate::world::world;

const MAX_UNAVAILABLE_FIELD: &str =
    "spec.rolloutStrategy.rollingUpdateConfiguration.maxUnavailable";
const NO_PERCENTAGE: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used \
    for validation is '[0-9]+%')";

/// A change, what the API server says after schema and webhook, and what the webhook alone says: an older schema may have
/// let the object pass.
type Case = (&'static str, Change, Said, String);

/// Who speaks first when the API server is asked.
enum Said {
    Schema(&'static str),
    Webhook,
}

fn cases() -> Vec<Case> {
    let schema =
        |case, change, said, alone: &str| (case, change, Said::Schema(said), alone.to_owned());
    let unavailable = |case, value: &str, details: &[&str]| {
        let texts = details
            .iter()
            .map(|it| format!("{MAX_UNAVAILABLE_FIELD}: Invalid value: \"{value}\": {it}"));
        let texts = texts.collect::<Vec<_>>().join(", ");
        let said = if details.len() > 1 { format!("[{texts}]") } else { texts };
        (case, (MAX_UNAVAILABLE, json!(value)), Said::Webhook, said)
    };
    vec![
        schema(
            "M-1 replicas in quotes",
            (REPLICAS, json!("three")),
            "spec.replicas: Invalid value: \"string\"",
            "spec.replicas: Invalid value: \"three\": must be an integer",
        ),
        schema(
            "M-2 a list as template",
            (WORKER, json!(["x"])),
            "spec.leaderWorkerTemplate.workerTemplate: Invalid value: \"array\"",
            "spec.leaderWorkerTemplate.workerTemplate: Invalid value: [\"x\"]: must be an object",
        ),
        schema(
            "M-3 no template",
            (WORKER, ABSENT),
            "spec.leaderWorkerTemplate.workerTemplate: Required value",
            "spec.leaderWorkerTemplate.workerTemplate: Required value",
        ),
        schema(
            "M-4 an unknown policy",
            (NETWORK, json!({"subdomainPolicy": "None"})),
            "spec.networkConfig.subdomainPolicy: Unsupported value: \"None\": supported values: \"Shared\", \"UniquePerReplica\"",
            "spec.networkConfig.subdomainPolicy: Unsupported value: \"None\": supported values: \"Shared\", \"UniquePerReplica\"",
        ),
        schema(
            "M-5 half a pod",
            (SIZE, json!(1.5)),
            "spec.leaderWorkerTemplate.size: Invalid value: \"float64\"",
            "spec.leaderWorkerTemplate.size: Invalid value: 1.5: must be an integer",
        ),
        schema(
            "M-6 more than 32 bits",
            (PARTITION, json!(3_000_000_000_u32)),
            // The one message of the API server that shows no value.
            "must be of type integer with format int32 in spec.rolloutStrategy.rollingUpdateConfiguration.partition",
            "spec.rolloutStrategy.rollingUpdateConfiguration.partition: Invalid value: 3000000000: must be between -2147483648 \
             and 2147483647, inclusive",
        ),
        schema(
            "M-7 yes or no",
            (MAX_UNAVAILABLE, json!(true)),
            "spec.rolloutStrategy.rollingUpdateConfiguration.maxUnavailable: Invalid value: \"boolean\"",
            "spec.rolloutStrategy.rollingUpdateConfiguration.maxUnavailable: Invalid value: true: must be an integer or a string",
        ),
        unavailable("M-8 above 100%", "101%", &["must not be greater than 100%"]),
        unavailable(
            "M-9 more digits than 64 bits",
            "99999999999999999999%",
            &[
                "must not be greater than 100%",
                "invalid value",
                "must not be 0 when `maxSurge` is 0",
            ],
        ),
        unavailable(
            "M-10 negative",
            "-5%",
            &[NO_PERCENTAGE, "invalid value", "must not be 0 when `maxSurge` is 0"],
        ),
        unavailable(
            "M-11 a word",
            "half",
            &[NO_PERCENTAGE, "invalid value", "must not be 0 when `maxSurge` is 0"],
        ),
    ]
}

#[tokio::test]
async fn the_api_server_names_field_and_value() -> Result<()> {
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    each(cases(), async |(case, change, said, alone): Case| {
        let sent = set(case, &[change])?;
        let outcome = match said {
            Said::Schema(text) => Outcome::Invalid(text),
            Said::Webhook => Outcome::Denied(alone),
        };
        create(world, &sent, &outcome).await.context(case)
    })
    .await
}

#[tokio::test]
async fn the_webhook_names_field_and_value() -> Result<()> {
    let world = &world().await?;
    each(cases(), async |(case, change, _, alone): Case| {
            let object = with(set(case, &[change])?, &[("/metadata/namespace", json!(NAMESPACE))])?;
            let request = json!({"uid": "u", "operation": "CREATE", "object": object});
            let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
            let path = "/validate-leaderworkerset-x-k8s-io-v1-leaderworkerset";
            let answer = send(&world.webhook, with_json(Method::POST, path, &review)?).await?.json()?;
            let status = answer.pointer("/response/status").context(case)?;
            let expected: Value = json!({"metadata": {}, "code": 403, "reason": "Forbidden", "message": alone});
            ensure!(*status == expected, "{case}: {status}\nexpected: {expected}");
            Ok(())
        })
        .await
}
