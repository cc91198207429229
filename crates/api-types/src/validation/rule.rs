//! The rules by name, and what it means to break one.

use std::fmt;

use super::field_error::FieldError;

/// A rule that broke, and what to tell about it. Displays as the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule it was.
    pub rule: Rule,
    /// Which field breaks it, and how.
    pub error: FieldError,
}

/// The most violations, and the most warnings, that are told of one object. More help nobody, and
/// those of a large object would take far more memory than the object.
pub(super) const MOST: usize = 100;

/// What an object breaks, in the order of the rules.
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<Violation>);

impl Violations {
    /// Adds one, unless there are [`MOST`].
    pub(super) fn push(&mut self, violation: Violation) {
        if self.0.len() < MOST {
            self.0.push(violation);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub(super) fn into_vec(self) -> Vec<Violation> {
        self.0
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

macro_rules! rules {
    ($($(#[$attribute:meta])* $rule:ident = $name:literal,)*) => {
        /// A rule of the validating webhook. Its name is a label of metrics: short, and the same
        /// in every version.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule {
            $($(#[$attribute])* $rule,)*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$rule),*];

            /// The name of the rule.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }
        }
    };
}

rules! {
    /// Every field that a rule reads is there and has the type of the schema.
    Schema = "schema",
    /// `metadata.name` and `generateName` are DNS labels (V1).
    Name = "name",
    /// There is a name (V1b).
    NameRequired = "name-required",
    /// The name leaves room for the pods of group 0.
    NameRoom = "name-room",
    /// `metadata.namespace` is a DNS label (V2).
    Namespace = "namespace",
    /// The rest of the metadata is what Kubernetes accepts (V3).
    Metadata = "metadata",
    /// `replicas` is not negative (V4).
    ReplicasMinimum = "replicas-minimum",
    /// `replicas` is at most a million (V5).
    ReplicasMaximum = "replicas-maximum",
    /// `size` is at least 1 (V6).
    SizeMinimum = "size-minimum",
    /// All pods can be counted in 31 bits (V7).
    PodsMaximum = "pods-maximum",
    /// A text in `maxUnavailable` is a percentage (V8).
    MaxUnavailableFormat = "max-unavailable-format",
    /// `maxUnavailable` is not negative (V9).
    MaxUnavailableMinimum = "max-unavailable-minimum",
    /// `maxUnavailable` is at most 100% (V10).
    MaxUnavailableMaximum = "max-unavailable-maximum",
    /// A text in `maxSurge` is a percentage (V11).
    MaxSurgeFormat = "max-surge-format",
    /// `maxSurge` is not negative (V12).
    MaxSurgeMinimum = "max-surge-minimum",
    /// `maxSurge` is at most 100% (V13).
    MaxSurgeMaximum = "max-surge-maximum",
    /// `partition` is not negative (V14).
    PartitionMinimum = "partition-minimum",
    /// `maxUnavailable` and `maxSurge` are numbers of groups (V15).
    RollingUpdateValue = "rolling-update-value",
    /// A rolling update may touch at least one group (V16).
    RollingUpdateStuck = "rolling-update-stuck",
    /// A subgroup policy has a size.
    SubgroupSizeRequired = "subgroup-size-required",
    /// `subGroupSize` is at least 1 (V17).
    SubgroupSizeMinimum = "subgroup-size-minimum",
    /// `subGroupSize` divides the group or its workers (V18).
    SubgroupSizeDivisor = "subgroup-size-divisor",
    /// `subGroupSize` is at most `size` (V19).
    SubgroupSizeMaximum = "subgroup-size-maximum",
    /// `subGroupSize` divides the workers where the leader is excluded (V20).
    SubgroupSizeLeaderExcluded = "subgroup-size-leader-excluded",
    /// Exclusive placement of subgroups needs subgroups (V21).
    SubgroupTopology = "subgroup-topology",
    /// `subGroupSize` stays (V22).
    SubgroupSizeImmutable = "subgroup-size-immutable",
    /// A subgroup policy is not added later (V23).
    SubgroupPolicyAdded = "subgroup-policy-added",
    /// A subgroup policy is not removed (V24).
    SubgroupPolicyRemoved = "subgroup-policy-removed",
    /// A network configuration has a policy (V25).
    SubdomainPolicyNull = "subdomain-policy-null",
    /// `volumeClaimTemplates` stay.
    VolumeClaimsImmutable = "volume-claims-immutable",
}

impl Rule {
    /// That `error` breaks this rule.
    pub(super) fn broken(self, error: FieldError) -> Violation {
        Violation { rule: self, error }
    }
}
