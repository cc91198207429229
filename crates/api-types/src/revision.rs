//! Revision data: what a `ControllerRevision` records of a set, its byte form and key, and how
//! stored data is compared and restored.
//!
//! The byte form is the one that the existing implementation produces from typed Go structs. It
//! decides the key, and the key decides whether groups are outdated: any other byte would restart
//! every group of a set that changes hands.

mod core_v1;
pub(crate) mod go_json;
mod positions;
mod typed;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::core_v1::{PERSISTENT_VOLUME_CLAIM, POD_TEMPLATE_SPEC};
use self::go_json::write_list;
pub(crate) use self::positions::visit_quantities;
use self::typed::{Fields, Kind, set, write_object};
use crate::set::{LeaderWorkerSetSpec, LeaderWorkerTemplate, NetworkConfig, SubdomainPolicy};

/// The recorded parts of a spec.
const TEMPLATE: &str = "leaderWorkerTemplate";
const NETWORK: &str = "networkConfig";

/// Digits of a key, after those of a decimal number.
const KEY_DIGITS: [char; 10] = ['4', '5', '6', '7', '8', '9', 'b', 'c', 'd', 'f'];

/// `ClaimRetentionPolicy`, whose empty values count as absent.
const CLAIM_RETENTION_POLICY: Fields =
    &[set("whenDeleted", Kind::Text), set("whenScaled", Kind::Text)];

/// Stored revision data that no spec can be restored from.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The data has no `spec.leaderWorkerTemplate`.
    #[error("revision data has no spec.leaderWorkerTemplate")]
    NoTemplate,
    /// A recorded part is not what a set may hold.
    #[error("cannot read spec.{part} of revision data")]
    Decode {
        /// Name of the part below `spec`.
        part: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Byte form of the revision data of `spec`: its template and network configuration.
///
/// Fields unknown to Kubernetes 1.36 are dropped. What has the wrong type counts as absent.
#[must_use]
pub fn encode(spec: &LeaderWorkerSetSpec) -> String {
    let mut out = String::with_capacity(4096);
    out.push_str(r#"{"spec":{"leaderWorkerTemplate":{"$patch":"replace""#);
    write_template(&mut out, &spec.leader_worker_template);
    out.push_str(r#"},"networkConfig":{"$patch":"replace""#);
    let absent = NetworkConfig { subdomain_policy: Some(SubdomainPolicy::Shared) };
    let network = spec.network_config.as_ref().unwrap_or(&absent);
    write_member(&mut out, "subdomainPolicy", Kind::Json, &network.subdomain_policy);
    out.push_str("}}}");
    out
}

/// Revision key of encoded data: its 32-bit FNV-1 hash in decimal, in an alphabet without vowels
/// and look-alikes.
#[must_use]
pub fn key(data: &str) -> String {
    let hash = data
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(byte));
    let digits = hash.to_string();
    digits.chars().filter_map(|it| KEY_DIGITS.get(it.to_digit(10)? as usize)).collect()
}

/// Whether the stored `data` of a revision, written by any version of either implementation, has
/// the same normalised content as `proposed`, which is [`encode`] of `live`. Data that nothing can
/// be restored from has not.
#[must_use]
pub fn same_content(stored: &Value, proposed: &str, live: &LeaderWorkerSetSpec) -> bool {
    normalised(stored, live).is_some_and(|content| content == proposed)
}

/// The byte form that the `stored` data of a revision has once it is normalised; `None` where that
/// is up to the live set too, or nothing can be restored.
#[must_use]
pub fn content(stored: &Value) -> Option<String> {
    stored.get("spec")?.get(NETWORK)?;
    normalised(stored, &LeaderWorkerSetSpec::default())
}

fn normalised(stored: &Value, live: &LeaderWorkerSetSpec) -> Option<String> {
    restore(live, stored).ok().map(|restored| encode(&restored))
}

/// `live` with its template and network configuration replaced by those of the `stored` data of a
/// revision. A network configuration that the data lacks, as data older than the field does, stays
/// live.
pub fn restore(
    live: &LeaderWorkerSetSpec,
    stored: &Value,
) -> Result<LeaderWorkerSetSpec, RestoreError> {
    let part = |name| stored.get("spec").and_then(|spec| spec.get(name));
    Ok(LeaderWorkerSetSpec {
        leader_worker_template: decode(TEMPLATE, part(TEMPLATE).ok_or(RestoreError::NoTemplate)?)?,
        network_config: match part(NETWORK) {
            Some(network) => decode(NETWORK, network)?,
            None => live.network_config.clone(),
        },
        replicas: live.replicas,
        rollout_strategy: live.rollout_strategy.clone(),
        startup_policy: live.startup_policy,
    })
}

/// Reads a recorded part. Its `$patch` is no field of any type, and so is left behind.
fn decode<'a, T: Deserialize<'a>>(part: &'static str, value: &'a Value) -> Result<T, RestoreError> {
    T::deserialize(value).map_err(|source| RestoreError::Decode { part, source })
}

/// Writes the members of the template, sorted by name, each after a comma.
fn write_template(out: &mut String, template: &LeaderWorkerTemplate) {
    if let Some(leader) = &template.leader_template {
        out.push_str(r#","leaderTemplate":"#);
        write_object(out, POD_TEMPLATE_SPEC, Some(&leader.0));
    }
    if let Some(policy) = &template.persistent_volume_claim_retention_policy {
        let fields = Kind::Object(CLAIM_RETENTION_POLICY);
        write_member(out, "persistentVolumeClaimRetentionPolicy", fields, policy);
    }
    if let Some(policy) = template.restart_policy {
        write_member(out, "restartPolicy", Kind::Text, &policy);
    }
    if let Some(size) = template.size {
        write_member(out, "size", Kind::Number, &size);
    }
    if let Some(policy) = &template.sub_group_policy {
        write_member(out, "subGroupPolicy", Kind::Json, policy);
    }
    if let Some(claims) = template.volume_claim_templates.as_ref().filter(|it| !it.is_empty()) {
        out.push_str(r#","volumeClaimTemplates":"#);
        write_list(out, claims, |out, claim| {
            write_object(out, PERSISTENT_VOLUME_CLAIM, claim.as_object());
        });
    }
    out.push_str(r#","workerTemplate":"#);
    write_object(out, POD_TEMPLATE_SPEC, Some(&template.worker_template.0));
}

/// Writes a small typed member.
fn write_member(out: &mut String, name: &str, kind: Kind, value: &impl Serialize) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    // These types have no value that cannot be JSON.
    kind.write(out, serde_json::to_value(value).ok().as_ref());
}
