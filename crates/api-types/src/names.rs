//! Names, ordinals, addresses and hashes that are derived from a set and its groups.

use sha1::{Digest as _, Sha1};

/// The longest name of a `StatefulSet` that can create pods: it labels them with
/// `<its name>-<hash>`, where the hash has up to 10 characters and a label value at most 63.
pub const LONGEST_STATEFUL_SET: usize = 52;

/// The longest name of a pod, which is its host name too.
pub const LONGEST_POD: usize = 63;

/// Name of the leader pod, the worker `StatefulSet` and the per-group Service of group `index`.
#[must_use]
pub fn leader_pod(set: &str, index: i64) -> String {
    format!("{set}-{index}")
}

/// Whether `name` is the [`leader_pod`] of group `index`, counted from 0.
#[must_use]
pub fn is_leader_pod(name: &str, set: &str, index: i64) -> bool {
    let digits = name.strip_prefix(set).and_then(|it| it.strip_prefix('-')).unwrap_or_default();
    digits.parse() == Ok(index) && (digits.len() == 1 || !digits.starts_with(['0', '+']))
}

/// Name of worker `worker` (1 to size − 1) of the group that `leader` leads.
#[must_use]
pub fn worker_pod(leader: &str, worker: u32) -> String {
    format!("{leader}-{worker}")
}

/// Splits a name made by a `StatefulSet` into its parent and ordinal: `x-1-3` is (`x-1`, 3).
///
/// `None` when the name does not end in `-` and digits, or the ordinal does not fit 31 bits,
/// the range of `StatefulSet` ordinals.
#[must_use]
pub fn parent_and_ordinal(name: &str) -> Option<(&str, u32)> {
    let (parent, digits) = name.rsplit_once('-')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ordinal = digits.parse().ok()?;
    (ordinal <= i32::MAX.unsigned_abs()).then_some((parent, ordinal))
}

/// Name of a `ControllerRevision`: `<set cut to 220 bytes>-<hash>-<number>`.
#[must_use]
pub fn revision(set: &str, hash: &str, number: i64) -> String {
    // Names of objects are ASCII; `get` keeps a foreign name from splitting a character.
    let prefix = set.get(..220).unwrap_or(set);
    format!("{prefix}-{hash}-{number}")
}

/// Name of the `PodGroup` of a group.
#[must_use]
pub fn pod_group(set: &str, group_index: &str, revision_key: &str) -> String {
    format!("{set}-{group_index}-{revision_key}")
}

/// Value of label `group-key`: SHA-1 of `<namespace>/<leader pod>`, lower-case hexadecimal.
#[must_use]
pub fn group_key(namespace: &str, leader_pod: &str) -> String {
    sha1_hex(&[namespace, leader_pod])
}

/// Value of label `subgroup-key`: SHA-1 of `<leader pod>/<subgroup index>`. The namespace is not
/// part of it.
#[must_use]
pub fn subgroup_key(leader_pod: &str, subgroup_index: &str) -> String {
    sha1_hex(&[leader_pod, subgroup_index])
}

/// Value of `LWS_LEADER_ADDRESS`: `<set>-<group index>.<subdomain>.<namespace>`.
#[must_use]
pub fn leader_address(set: &str, group_index: &str, subdomain: &str, namespace: &str) -> String {
    format!("{set}-{group_index}.{subdomain}.{namespace}")
}

/// Value of `status.hpaPodSelector`: selects the leader pods of a set.
#[must_use]
pub fn hpa_pod_selector(set: &str) -> String {
    use crate::keys::labels::{NAME, WORKER_INDEX};
    format!("{NAME}={set},{WORKER_INDEX}=0")
}

fn sha1_hex(parts: &[&str]) -> String {
    use std::fmt::Write as _;
    let mut hasher = Sha1::new();
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            hasher.update(b"/");
        }
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().fold(String::with_capacity(40), |mut hex, byte| {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_the_published_vectors() {
        for (namespace, pod, key) in [
            ("default", "test-sample", "95e88034e460983f51a9952fe128729fbc0663b5"),
            ("default", "podName", "390b34ab671d29e9997d7d4252b8bbf8da02f5b7"),
            ("leaderworkerset", "test-sample", "39f5d7e9122b9d94d3932e3720b43fd3b56347e8"),
            ("default", "leaderworkerset-sample-0", "9e1316d2ae590d1547fdcd8e941a83be8889e7d4"),
        ] {
            assert_eq!(group_key(namespace, pod), key, "{namespace}/{pod}");
        }
        assert_eq!(
            subgroup_key("leaderworkerset-sample-0", "0"),
            "bbcb8915b3fc422b432777ae177705a012ab13d4"
        );
        assert_eq!(
            subgroup_key("leaderworkerset-sample-0", "1"),
            "b71cdea44c94fd56ff2a33859b69330d4e88cc24"
        );
    }

    #[test]
    fn ordinals_are_parsed_greedily_and_bounded() {
        for (name, expected) in [
            ("a-0", Some(("a", 0))),
            ("a-1-23", Some(("a-1", 23))),
            ("-7", Some(("", 7))),
            ("a-2147483647", Some(("a", 2_147_483_647))),
            ("a-2147483648", None),
            ("a-99999999999999999999", None),
            ("a-", None),
            ("a", None),
            ("a-+1", None),
            ("a-1x", None),
            ("", None),
        ] {
            assert_eq!(parent_and_ordinal(name), expected, "{name}");
        }
    }

    #[test]
    fn names_of_leader_pods_are_told_from_others() {
        for index in [0, 7, 10, 99_999] {
            assert!(is_leader_pod(&leader_pod("a-1", index), "a-1", index), "{index}");
        }
        for name in
            ["a-1-07", "a-1-+7", "a-1-8", "a-1-70", "a-1-7x", "a-1-", "a-1", "a-17", "b-1-7", ""]
        {
            assert!(!is_leader_pod(name, "a-1", 7), "{name}");
        }
        assert!(!is_leader_pod("a-1-00", "a-1", 0));
    }

    #[test]
    fn long_set_names_are_cut_in_revision_names() {
        let set = "x".repeat(230);
        assert_eq!(revision(&set, "h", 1), format!("{}-h-1", "x".repeat(220)));
        assert_eq!(revision("s", "5bc6dc849d", 1), "s-5bc6dc849d-1");
    }
}
