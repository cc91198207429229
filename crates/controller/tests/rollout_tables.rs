//! Rollouts as tables, one line a reconcile: what the controller sees and what it then applies.
//! The tables and pictures that `docs/rollouts.md` and `docs/concepts.md` show are written there by this
//! test: run it with `UPDATE_DOCS=1` after a change.
//!
//! ```text
//! table name: R=4 MU=2 MS=2                     spec.replicas, maxUnavailable, maxSurge, LP: partition
//! p4 r6 | O+ O+ O+ O+       | template changed | rolling 4/0
//! ^^^^^ applied               ^ what happened    ^ condition, ready/updated groups
//!         ^ groups 0, 1, …: Old or New, + ready or - not, `..` does not exist
//! ```
//!
//! The first line is the start: already applied, and left alone by a further reconcile, unless it
//! says `created`. A setting in an event (`R=6`) changes it from that line on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "rollout_tables/picture.rs"]
mod picture;

use std::fmt::Write as _;
use std::path::Path;

use lws_api_types::conditions::ConditionType;
use lws_api_types::set::RollingUpdate;
use lws_controller::plan::rollout::{
    GroupState, Leader, LeaderSet, Reported, Step, leaders_to_replace, release_note,
    statefulset_max_unavailable, step, surge_deletion_note,
};
use lws_controller::plan::status::{Counts, GroupObservation};
use picture::{Line, picture};

/// What users and the existing implementation's documentation know as examples.
const WORKED: &str = "
one-at-a-time: R=4 MU=1
p0 r4 | N+ N+ N+ N+ | before
p4 r4 | O+ O+ O+ O+ | template changed
p3 r4 | O+ O+ O+ O+ | next reconcile
p2 r4 | O+ O+ O+ N+ | group 3 ready
p1 r4 | O+ O+ N+ N+ | group 2 ready
p0 r4 | O+ N+ N+ N+ | group 1 ready
p0 r4 | N+ N+ N+ N+ | group 0 ready

nine-stages: R=4 MU=2 MS=2
p0 r4 | N+ N+ N+ N+       | before
p4 r6 | O+ O+ O+ O+       | template changed
p2 r6 | O+ O+ O+ O+ N- N- | next reconcile
p2 r6 | O+ O+ N- N- N+ N- | group 4 ready, 5 not yet
p0 r6 | O+ O+ N- N- N+ N+ | group 5 ready
p0 r4 | N- N- N+ N+ N+ N+ | groups 2 and 3 ready
p0 r4 | N- N+ N+ N+       | group 1 ready
p0 r4 | N+ N+ N+ N+       | group 0 ready

surge-never-ready: R=4 MU=2 MS=2
p0 r4 | N+ N+ N+ N+       | before
p4 r6 | O+ O+ O+ O+       | template changed
p2 r6 | O+ O+ O+ O+ .. .. | next reconcile
p2 r4 | O+ O+ N+ N+ N- N- | groups 2 and 3 ready
p0 r4 | O+ O+ N+ N+       | next reconcile
p0 r4 | N+ N+ N+ N+       | groups 1 and 0 ready

surge-only: R=4 MU=0 MS=1
p0 r4 | N+ N+ N+ N+    | before
p4 r5 | O+ O+ O+ O+    | template changed
p4 r5 | O+ O+ O+ O+ N- | next reconcile
p3 r5 | O+ O+ O+ O+ N+ | group 4 ready
p2 r5 | O+ O+ O+ N+ N+ | group 3 ready
p1 r5 | O+ O+ N+ N+ N+ | group 2 ready
p0 r5 | O+ N+ N+ N+ N+ | group 1 ready
p0 r4 | N+ N+ N+ N+ N+ | group 0 ready

one-and-one: R=4 MU=1 MS=1
p0 r4 | N+ N+ N+ N+    | before
p4 r5 | O+ O+ O+ O+    | template changed
p3 r5 | O+ O+ O+ O+ .. | next reconcile
p2 r5 | O+ O+ O+ N- N+ | group 4 ready
p1 r5 | O+ O+ N- N+ N+ | group 3 ready
p0 r5 | O+ N- N+ N+ N+ | group 2 ready
p0 r4 | N- N+ N+ N+ N+ | group 1 ready
p0 r4 | N+ N+ N+ N+    | group 0 ready

surge-as-large-as-the-set: R=4 MU=1 MS=4
p0 r4 | N+ N+ N+ N+          | before
p4 r7 | O+ O+ O+ O+          | template changed
p3 r7 | O+ O+ O+ O+ .. .. .. | next reconcile
p2 r7 | O+ O+ O+ N- N- N- N+ | group 6 ready
p1 r7 | O+ O+ N- N- N- N+ N+ | group 5 ready
p0 r7 | O+ N- N- N- N+ N+ N+ | group 4 ready
p0 r6 | N- N- N- N+ N+ N+ N+ | group 3 ready
p0 r5 | N- N- N+ N+ N+ N+    | group 2 ready
p0 r4 | N- N+ N+ N+ N+       | group 1 ready

all-at-once: R=4 MU=10
p0 r4 | N+ N+ N+ N+ | before
p4 r4 | O+ O+ O+ O+ | template changed
p0 r4 | O+ O+ O+ O+ | next reconcile

two-at-a-time: R=4 MU=2
p0 r4 | N+ N+ N+ N+ | before
p4 r4 | O+ O+ O+ O+ | template changed
p2 r4 | O+ O+ O+ O+ | next reconcile
p1 r4 | O+ O+ N- N+ | group 3 ready
p0 r4 | O+ N- N+ N+ | group 2 ready

surge-beyond-the-set: R=2 MU=1 MS=2
p0 r2 | N+ N+    | before
p2 r3 | O+ O+    | template changed
p1 r3 | O+ O+ .. | next reconcile
p0 r3 | O+ N- N+ | group 2 ready
p0 r2 | N- N+ N+ | group 1 ready

one-group-was-down: R=4 MU=2
p0 r4 | N+ N- N+ N+ | before
p4 r4 | O+ O- O+ O+ | template changed
p3 r4 | O+ O- O+ O+ | next reconcile
p1 r4 | O+ O- O+ N+ | group 3 ready
p0 r4 | O+ N- N+ N+ | group 2 ready

all-were-down: R=2 MU=1
p0 r2 | N- N- | before
p2 r2 | O- O- | template changed
p1 r2 | O- O- | next reconcile
p0 r2 | O- N+ | group 1 ready

template-and-scale-up: R=4 MU=1
p0 r4 | N+ N+ N+ N+       | before
p4 r6 | O+ O+ O+ O+       | template changed and R=6
p4 r6 | O+ O+ O+ O+ .. .. | next reconcile
p4 r6 | O+ O+ O+ O+ N- N+ | group 5 ready
p3 r6 | O+ O+ O+ O+ N+ N+ | group 4 ready
p2 r6 | O+ O+ O+ N+ N+ N+ | group 3 ready

scale-up-during-rollout: R=4 MU=1
p2 r4 | O+ O+ N- N+       | before
p2 r6 | O+ O+ N- N+       | R=6
p2 r6 | O+ O+ N- N+ N- N+ | group 5 ready
p2 r6 | O+ O+ N- N+ N+ N+ | group 4 ready
p1 r6 | O+ O+ N+ N+ N+ N+ | group 2 ready

scale-down-during-rollout: R=6 MU=1
p5 r6 | O+ O+ O+ O+ O+ N- | before
p3 r3 | O+ O+ O+ O+ O+ N- | R=3
p2 r3 | O+ O+ O+          | next reconcile

template-and-scale-up-with-surge: R=2 MU=1 MS=2
p0 r2 | N+ N+       | before
p2 r4 | O+ O+       | template changed and R=4
p2 r6 | O+ O+ .. .. | next reconcile

template-and-scale-down: R=6 MU=1 MS=2
p0 r6 | N+ N+ N+ N+ N+ N+ | before
p3 r5 | O+ O+ O+ O+ O+ O+ | template changed and R=3
p2 r5 | O+ O+ O+ N- N-    | next reconcile
p1 r5 | O+ O+ N- N- N+    | group 4 ready
p0 r5 | O+ N- N- N+ N+    | group 3 ready
p0 r4 | N- N- N+ N+ N+    | group 2 ready
p0 r3 | N- N+ N+ N+       | group 1 ready

scaled-up-then-down: R=4 MU=1 MS=2
p3 r6 | O+ O+ O+ O+ N- N-       | before
p3 r8 | O+ O+ O+ O+ N- N-       | R=6
p3 r3 | O+ O+ O+ O+ N- N- .. .. | R=2
p1 r3 | O+ O+ O+                | next reconcile

changed-twice: R=4 MU=1 MS=2
p1 r6 | O+ O+ O+ O+ N+ N+ | before
p4 r6 | O+ O+ O+ O+ O+ O+ | template changed
p3 r6 | O+ O+ O+ O+ O+ O+ | next reconcile

held-by-partition: R=6 MU=1 LP=4
p4 r6 | N+ N+ N+ N+ N+ N+ | before
p6 r6 | O+ O+ O+ O+ O+ O+ | template changed
p5 r6 | O+ O+ O+ O+ O+ O+ | next reconcile
p4 r6 | O+ O+ O+ O+ O+ N+ | group 5 ready
p4 r6 | O+ O+ O+ O+ N+ N+ | group 4 ready    | available 6/2
p3 r6 | O+ O+ O+ O+ N+ N+ | LP=2
p2 r6 | O+ O+ O+ N+ N+ N+ | group 3 ready
p2 r6 | O+ O+ N+ N+ N+ N+ | group 2 ready    | available 6/4

held-with-surge: R=3 MU=1 MS=1 LP=2
p2 r3 | N+ N+ N+    | before
p3 r4 | O+ O+ O+    | template changed
p2 r4 | O+ O+ O+ .. | next reconcile
p2 r4 | O+ O+ N+ N+ | groups 3 and 2 ready | available 4/2
p0 r4 | O+ O+ N+ N+ | LP=0
p0 r3 | O+ N+ N+ N+ | group 1 ready
";

/// What this controller does better, and the limits it shares.
const DECIDED: &str = "
no-surge-on-creation: R=4 MU=1 MS=2 LP=2
p2 r4 |             | created
p2 r4 | .. .. .. .. | next reconcile
p2 r4 | N- N- N- N+ | group 3 ready
p2 r4 | N+ N+ N+ N+ | all ready | available 4/4

no-surge-at-rest: R=4 MU=1 MS=2
p0 r4 | N+ N- N- N- | before
p0 r3 | N+ N- N- N- | R=3
p0 r3 | N- N- N-    | all down
p0 r2 | N- N- N-    | R=2

no-surge-while-held: R=4 MU=1 MS=2 LP=1
p1 r4 | O+ N+ N+ N+ | before
p1 r4 | O- N- N- N+ | three groups fail
p1 r4 | O+ N+ N+ N+ | all ready
p0 r4 | O+ N+ N+ N+ | LP=0

no-surge-when-nothing-may-be-replaced: R=3 MU=1 MS=1
p0 r3 | N+ N+ N+ | before
p5 r3 | O+ O+ O+ | template changed and LP=5
p5 r3 | O+ O+ O+ | next reconcile
p2 r4 | O+ O+ O+ | LP=0

surge-stays-until-the-last-group: R=4 MU=2 MS=2
p0 r6 | N- N- N- N- N+ N+ | before
p0 r6 | N- N- N+ N- N+ N+ | group 2 ready
p0 r4 | N- N- N+ N+ N+ N+ | group 3 ready

ready-surge-stays-while-needed: R=4 MU=2 MS=3
p0 r6 | N- N+ N- N- N- N+ | before
p0 r5 | N- N+ N- N- N+ N+ | group 4 ready
p0 r4 | N- N+ N+ N- N+    | group 2 ready

any-order: R=6 MU=2
p4 r6 | O+ O+ O+ O+ N- N- | before
p3 r6 | O+ O+ O+ O+ N+ N- | group 4 ready, 5 never
p2 r6 | O+ O+ O+ N+ N+ N- | group 3 ready
p1 r6 | O+ O+ N+ N+ N+ N- | group 2 ready
p0 r6 | O+ N+ N+ N+ N+ N- | group 1 ready

added-group-is-pending: R=4 MU=2
p0 r4 | N+ N+ N+ N+    | before
p4 r5 | O+ O+ O+ O+    | template changed and R=5
p3 r5 | O+ O+ O+ O+ N- | next reconcile
p2 r5 | O+ O+ O+ N+ N- | group 3 ready, 4 has no node
p1 r5 | O+ O+ N+ N+ N- | group 2 ready
p0 r5 | O+ N+ N+ N+ N- | group 1 ready

budget-used-up: R=4 MU=1
p0 r4 | N- N+ N+ N+ | before
p4 r4 | O- O+ O+ O+ | template changed
p4 r4 | O- O+ O+ O+ | next reconcile
p3 r4 | O- O+ O+ O+ | MU=2
p2 r4 | O- O+ O+ N+ | group 3 ready
p0 r4 | O- O+ N+ N+ | group 2 ready

every-group-that-is-down-counts: R=6 MU=3
p0 r6 | N+ N- N+ N- N+ N+ | before
p6 r6 | O+ O- O+ O- O+ O+ | template changed
p5 r6 | O+ O- O+ O- O+ O+ | next reconcile
p3 r6 | O+ O- O+ O- O+ N+ | group 5 ready
p0 r6 | O+ O- O+ N+ N+ N+ | groups 4 and 3 ready

back-to-earlier-content: R=4 MU=1
p2 r4 | O+ O+ N+ N- | before
p4 r4 | N+ N+ O+ O- | template changed
p3 r4 | N+ N+ O+ O- | next reconcile
p2 r4 | N+ N+ O+ N+ | group 3 ready
p0 r4 | N+ N+ N+ N+ | group 2 ready

surge-only-and-scale-up: R=2 MU=0 MS=1
p0 r2 | N+ N+          | before
p2 r4 | O+ O+          | template changed and R=4
p2 r5 | O+ O+ N+ N+    | groups 2 and 3 ready
p1 r5 | O+ O+ N+ N+ N+ | group 4 ready

held-before-the-first-group: R=0 MU=1 LP=3
p3 r0 |                | before
p3 r2 |                | R=2
p3 r2 | N+ N+          | all ready | available 2/2
";

/// The integration cases that clients of the existing implementation hold it to.
const CASES: &str = "
C-027: R=4 MU=1
p0 r4 | N+ N+ N+ N+ | before | done 4/4
p4 r4 | O+ O+ O+ O+ | template changed
p3 r4 | O+ O+ O+ O+ | next reconcile | rolling 4/0
p2 r4 | O+ O+ O+ N+ | group 3 ready | rolling 4/1
p2 r4 | O+ N+ O+ N+ | group 1 ready | rolling 4/2
p2 r4 | O+ N+ O+ N- | group 3 down | rolling 3/2
p0 r4 | N+ N+ N+ N+ | all ready | done 4/4

C-028: R=4 MU=2
p0 r4 | N+ N+ N+ N+ | before | done 4/4
p4 r4 | O+ O+ O+ O+ | template changed
p2 r4 | O+ O+ O+ O+ | next reconcile | rolling 4/0
p1 r4 | O+ O+ O+ N+ | group 3 ready | rolling 4/1
p0 r4 | O+ O+ N+ N+ | group 2 ready | rolling 4/2
p0 r4 | N+ N+ N+ N+ | groups 1 and 0 ready | done 4/4

C-029: R=4 MU=10
p0 r4 | N+ N+ N+ N+ | before | done 4/4
p4 r4 | O+ O+ O+ O+ | template changed
p0 r4 | O+ O+ O+ O+ | next reconcile | rolling 4/0
p0 r4 | N+ N+ N+ N+ | all ready | done 4/4

C-030: R=4 MU=1
p0 r4 | N+ N+ N+ N+       | before | done 4/4
p4 r6 | O+ O+ O+ O+       | template changed and R=6 | rolling 4/0
p4 r6 | O+ O+ O+ O+ .. .. | next reconcile | rolling 4/0
p0 r6 | N+ N+ N+ N+ N+ N+ | all ready | done 6/6

C-031: R=4 MU=1
p0 r4 | N+ N+ N+ N+       | before | done 4/4
p4 r4 | O+ O+ O+ O+       | template changed
p3 r4 | O+ O+ O+ O+       | next reconcile | rolling 4/0
p2 r4 | O+ O+ O+ N+       | group 3 ready | rolling 4/1
p2 r6 | O+ O+ O+ N+       | R=6
p2 r6 | O+ O+ O+ N+ N+ N+ | groups 4 and 5 ready | rolling 6/3
p0 r6 | N+ N+ N+ N+ N+ N+ | all ready | done 6/6

C-032: R=6 MU=1
p0 r6 | N+ N+ N+ N+ N+ N+ | before | done 6/6
p6 r6 | O+ O+ O+ O+ O+ O+ | template changed
p5 r6 | O+ O+ O+ O+ O+ O+ | next reconcile | rolling 6/0
p3 r3 | O+ O+ O+ O+ O+ O+ | R=3
p2 r3 | O+ O+ O+          | next reconcile | rolling 3/0
p0 r3 | N+ N+ N+          | all ready | done 3/3

C-033: R=4 MU=0 MS=1
p0 r4 | N+ N+ N+ N+    | before | done 4/4
p4 r5 | O+ O+ O+ O+    | template changed
p4 r5 | O+ O+ O+ O+ .. | next reconcile | rolling 4/0
p3 r5 | O+ O+ O+ O+ N+ | group 4 ready | rolling 5/1
p2 r5 | O+ O+ O+ N+ N+ | group 3 ready | rolling 5/2
p1 r5 | O+ O+ N+ N+ N+ | group 2 ready | rolling 5/3
p0 r5 | O+ N+ N+ N+ N+ | group 1 ready | rolling 5/4
p0 r4 | N+ N+ N+ N+ N+ | group 0 ready
p0 r4 | N+ N+ N+ N+    | surge group gone | done 4/4

C-034: R=4 MU=1 MS=1
p0 r4 | N+ N+ N+ N+    | before | done 4/4
p4 r5 | O+ O+ O+ O+    | template changed
p3 r5 | O+ O+ O+ O+ .. | next reconcile | rolling 4/0
p2 r5 | O+ O+ O+ O+ N+ | group 4 ready | rolling 5/1
p1 r5 | O+ O+ O+ N+ N+ | group 3 ready | rolling 5/2
p0 r5 | O+ O+ N+ N+ N+ | group 2 ready | rolling 5/3
p0 r4 | O+ N+ N+ N+ N+ | group 1 ready
p0 r4 | O+ N+ N+ N+    | surge group gone | rolling 4/3
p0 r4 | N+ N+ N+ N+    | group 0 ready | done 4/4

C-035: R=4 MU=2 MS=2
p0 r4 | N+ N+ N+ N+       | before | done 4/4
p4 r6 | O+ O+ O+ O+       | template changed
p2 r6 | O+ O+ O+ O+ .. .. | next reconcile | rolling 4/0
p2 r4 | O+ O+ N+ N+ .. .. | groups 3 and 2 ready
p0 r4 | O+ O+ N+ N+       | next reconcile | rolling 4/2
p0 r4 | N+ N+ N+ N+       | groups 1 and 0 ready | done 4/4

C-036: R=2 MU=1 MS=2
p0 r2 | N+ N+             | before | done 2/2
p2 r4 | O+ O+             | template changed and R=4
p2 r6 | O+ O+ .. ..       | next reconcile | rolling 2/0
p0 r4 | N+ N+ N+ N+ N+ N+ | all ready | available 6/6
p0 r4 | N+ N+ N+ N+       | surge groups gone | done 4/4

C-037: R=6 MU=1 MS=2
p0 r6 | N+ N+ N+ N+ N+ N+ | before | done 6/6
p3 r5 | O+ O+ O+ O+ O+ O+ | template changed and R=3
p2 r5 | O+ O+ O+ O+ O+    | next reconcile | rolling 5/0
p0 r3 | N+ N+ N+ N+ N+    | all ready | available 5/5
p0 r3 | N+ N+ N+          | surge groups gone | done 3/3

C-038: R=2 MU=1 MS=2
p0 r2 | N+ N+    | before | done 2/2
p2 r3 | O+ O+    | template changed
p1 r3 | O+ O+ .. | next reconcile | rolling 2/0
p0 r2 | N+ N+ N+ | all ready | available 3/3
p0 r2 | N+ N+    | surge group gone | done 2/2

C-039: R=4 MU=1 MS=2
p0 r4 | N+ N+ N+ N+             | before | done 4/4
p4 r6 | O+ O+ O+ O+             | template changed
p3 r6 | O+ O+ O+ O+ .. ..       | next reconcile | rolling 4/0
p3 r8 | O+ O+ O+ O+ .. ..       | R=6
p3 r8 | O+ O+ O+ O+ .. .. N- N- | groups 6 and 7 exist | rolling 4/2
p3 r8 | O+ O+ O+ O+ .. .. N+ N+ | groups 7 and 6 ready | rolling 6/2
p3 r3 | O+ O+ O+ O+ .. .. N+ N+ | R=2
p1 r3 | O+ O+ O+                | next reconcile | rolling 3/0
p0 r3 | O+ O+ N+                | group 2 ready | rolling 3/1
p0 r2 | O+ N+ N+                | group 1 ready
p0 r2 | O+ N+                   | surge group gone | rolling 2/1
p0 r2 | N+ N+                   | group 0 ready | done 2/2

C-040: R=4 MU=1 MS=2
p0 r4 | N+ N+ N+ N+       | before | done 4/4
p4 r6 | O+ O+ O+ O+       | template changed
p3 r6 | O+ O+ O+ O+ .. .. | next reconcile | rolling 4/0
p1 r6 | O+ O+ O+ O+ N+ N+ | groups 5 and 4 ready | rolling 6/2
p4 r6 | O+ O+ O+ O+ O+ O+ | template changed
p3 r6 | O+ O+ O+ O+ O+ O+ | next reconcile | rolling 6/0
p0 r4 | N+ N+ N+ N+ N+ N+ | all ready | done 6/6
p0 r4 | N+ N+ N+ N+       | surge groups gone | done 4/4

C-047: R=4 MU=2
p0 r4 | N+ N- N+ N+ | before | progressing 3/4
p4 r4 | O+ O- O+ O+ | template changed
p3 r4 | O+ O- O+ O+ | next reconcile | rolling 3/0
p0 r4 | N+ N+ N+ N+ | all ready | done 4/4

C-048: R=2 MU=1
p0 r2 | N- N- | before | progressing 0/2
p2 r2 | O- O- | template changed
p1 r2 | O- O- | next reconcile | rolling 0/0
p0 r2 | O- N+ | group 1 ready | rolling 1/1
p0 r2 | N+ N+ | group 0 ready | done 2/2

C-050: R=6 MU=1 LP=4
p4 r6 | N+ N+ N+ N+ N+ N+ | before | available 6/6
p6 r6 | O+ O+ O+ O+ O+ O+ | template changed
p5 r6 | O+ O+ O+ O+ O+ O+ | next reconcile | rolling 6/0
p4 r6 | O+ O+ O+ O+ O+ N+ | group 5 ready | rolling 6/1
p4 r6 | O+ O+ O+ O+ N+ N+ | group 4 ready | available 6/2
p3 r6 | O+ O+ O+ O+ N+ N+ | LP=2 | rolling 6/2
p2 r6 | O+ O+ O+ N+ N+ N+ | group 3 ready | rolling 6/3
p2 r6 | O+ O+ N+ N+ N+ N+ | group 2 ready | available 6/4

C-051: R=3 MU=1 MS=1 LP=2
p2 r3 | N+ N+ N+    | before | available 3/3
p3 r4 | O+ O+ O+    | template changed
p2 r4 | O+ O+ O+ .. | next reconcile | rolling 3/0
p2 r4 | O+ O+ N+ N+ | groups 3 and 2 ready | available 4/2
p0 r4 | O+ O+ N+ N+ | LP=0 | rolling 4/2
p0 r3 | N+ N+ N+ N+ | groups 1 and 0 ready | done 4/4
p0 r3 | N+ N+ N+    | surge group gone | done 3/3
";

/// One line of a table.
struct Row<'a> {
    applied: Step,
    groups: Vec<Option<GroupState>>,
    event: &'a str,
    status: Option<&'a str>,
}

struct Table<'a> {
    name: &'a str,
    settings: &'a str,
    rows: Vec<Row<'a>>,
}

#[derive(Clone, Copy)]
struct Settings {
    replicas: i64,
    strategy: RollingUpdate,
}

impl Settings {
    const NONE: Self = Self {
        replicas: 0,
        strategy: RollingUpdate { partition: 0, max_unavailable: 1, max_surge: 0 },
    };

    /// Takes every `NAME=number` in `text`.
    fn read(&mut self, text: &str) {
        for (name, number) in text.split_whitespace().filter_map(|word| word.split_once('=')) {
            let number = number.parse().unwrap();
            match name {
                "R" => self.replicas = number,
                "MU" => self.strategy.max_unavailable = number,
                "MS" => self.strategy.max_surge = number,
                "LP" => self.strategy.partition = number,
                _ => panic!("setting {name}"),
            }
        }
    }
}

fn tables(text: &str) -> Vec<Table<'_>> {
    let table = |block| {
        let mut lines = str::lines(block);
        let (name, settings) = lines.next().unwrap().split_once(": ").unwrap();
        Table { name, settings, rows: lines.map(row).collect() }
    };
    text.trim().split("\n\n").map(table).collect()
}

fn row(line: &str) -> Row<'_> {
    let cells: Vec<_> = line.split('|').map(str::trim).collect();
    let (partition, replicas) = cells[0].split_once(' ').unwrap();
    let number = |text: &str| text[1..].parse().unwrap();
    Row {
        applied: Step { partition: number(partition), replicas: number(replicas) },
        groups: cells[1].split_whitespace().map(group).collect(),
        event: cells[2],
        status: cells.get(3).copied(),
    }
}

fn group(word: &str) -> Option<GroupState> {
    (word != "..")
        .then(|| GroupState { ready: word.ends_with('+'), updated: word.starts_with('N') })
}

/// Goes through `table` and gives what is computed for each line.
fn play(table: &Table<'_>) -> Vec<(Step, String)> {
    let mut settings = Settings::NONE;
    settings.read(table.settings);
    let mut current = None;
    let mut computed = Vec::new();
    for (line, row) in table.rows.iter().enumerate() {
        if line == 0 && row.event != "created" {
            let Step { partition, replicas } = row.applied;
            let annotated_replicas = Some(settings.replicas);
            current = Some(LeaderSet { replicas, partition, annotated_replicas });
        }
        settings.read(row.event);
        let states: Vec<_> = row.groups.iter().map(|it| it.unwrap_or_default()).collect();
        let changed = row.event.starts_with("template changed");
        let next = step(&states, &settings.strategy, settings.replicas, current.as_ref(), changed);
        computed.push((next, status(row, settings)));
        current = Some(LeaderSet {
            replicas: next.replicas,
            partition: next.partition,
            annotated_replicas: Some(settings.replicas),
        });
    }
    computed
}

fn status(row: &Row<'_>, settings: Settings) -> String {
    let observed = (0..).zip(&row.groups).filter_map(|(index, group)| {
        let GroupState { ready, updated } = (*group)?;
        Some(GroupObservation { index, ready, updated, counted: true })
    });
    let observed: Vec<_> = observed.collect();
    let counts = Counts::of(&observed, settings.replicas, settings.strategy.partition);
    let condition = match counts.conditions() {
        [ConditionType::UpdateInProgress, ConditionType::Progressing] => "rolling",
        [ConditionType::Available] if counts.updated == counts.ready && row.is_final(settings) => {
            assert!(counts.update_complete());
            "done"
        }
        [ConditionType::Available] => "available",
        [ConditionType::Progressing] => "progressing",
        other => panic!("{other:?}"),
    };
    format!("{condition} {}/{}", counts.ready, counts.updated)
}

impl Row<'_> {
    /// The case calls the set done: nothing is held back, no surge group is left.
    fn is_final(&self, settings: Settings) -> bool {
        settings.strategy.partition == 0
            && self.applied == (Step { partition: 0, replicas: settings.replicas })
            && self.status.is_some_and(|status| status.starts_with("done"))
    }
}

fn check(text: &str) {
    for table in tables(text) {
        for (row, (applied, status)) in table.rows.iter().zip(play(&table)) {
            let place = format!("{}, at `{}`", table.name, row.event);
            assert_eq!(applied, row.applied, "{place}");
            if let Some(expected) = row.status {
                assert_eq!(status, expected, "{place}");
            }
        }
    }
}

#[test]
fn worked_examples() {
    check(WORKED);
}

#[test]
fn decisions_of_this_controller() {
    check(DECIDED);
}

#[test]
fn acceptance_cases() {
    check(CASES);
}

/// Whoever scales a set may ask for any number. A step costs as much as there are groups.
#[test]
fn groups_that_do_not_exist_are_not_looked_at() {
    let strategy = RollingUpdate { partition: 0, max_unavailable: 1, max_surge: 0 };
    let ready = GroupState { ready: true, updated: true };
    let replicas = i64::from(i32::MAX);
    let current = LeaderSet { replicas, partition: 0, annotated_replicas: Some(replicas) };
    let next = step(&[ready], &strategy, replicas, Some(&current), false);
    assert_eq!(next, Step { partition: 0, replicas });
    let changed = step(&[ready], &strategy, replicas, Some(&current), true);
    assert_eq!(changed, Step { partition: replicas, replicas });
}

#[test]
fn statefulset_max_unavailable_is_at_least_one() {
    for (max_unavailable, max_surge, expected) in [(1, 0, 1), (2, 1, 3), (0, 1, 1), (0, 0, 1)] {
        let strategy = RollingUpdate { partition: 0, max_unavailable, max_surge };
        assert_eq!(statefulset_max_unavailable(&strategy), expected);
    }
}

/// `row` as leaders of `StatefulSet` revision `new` or `old`; `T` in place of the sign marks one
/// that is being deleted, `?` one without revision.
fn leaders(row: &str) -> Vec<Leader<'static>> {
    let leader = |(index, word): (i64, &str)| Leader {
        index,
        ready: word.ends_with('+'),
        terminating: word.ends_with('T'),
        revision: match &word[..1] {
            "N" => Some("new"),
            "O" => Some("old"),
            _ => None,
        },
    };
    (0..).zip(row.split_whitespace()).filter(|(_, word)| *word != "..").map(leader).collect()
}

#[test]
fn leaders_are_replaced_above_the_partition_within_the_budget() {
    for (settings, partition, existing, row, expected) in [
        ("R=4 MU=1", 3, 4, "O+ O+ O+ O+", &[3][..]),
        ("R=4 MU=1", 2, 4, "O+ O+ O+ N+", &[2]),
        ("R=4 MU=1", 4, 4, "O+ O+ O+ O+", &[]),
        ("R=4 MU=2 MS=2", 2, 6, "O+ O+ O+ O+ N- N-", &[3, 2]),
        ("R=4 MU=2 MS=2", 0, 6, "O+ O+ N- N- N+ N+", &[1, 0]),
        ("R=4 MU=10", 0, 4, "O+ O+ O+ O+", &[3, 2, 1, 0]),
        ("R=4 MU=0 MS=1", 3, 5, "O+ O+ O+ O+ N+", &[3]),
        // What is down already is free.
        ("R=4 MU=2", 1, 4, "O+ O- O+ N+", &[2, 1]),
        ("R=2 MU=1", 0, 2, "O- N-", &[0]),
        // One that is being deleted is neither ready nor deleted twice.
        ("R=4 MU=2", 2, 4, "O+ O+ O+ OT", &[2]),
        ("R=4 MU=1", 2, 4, "O+ O+ O+ OT", &[]),
        // A template that changes without a new revision key, so that the partition is 0.
        ("R=4 MU=1", 0, 4, "O+ O+ O+ O+", &[3]),
        ("R=4 MU=1", 0, 4, "O+ O+ O+ N-", &[]),
        ("R=4 MU=1", 0, 4, "O+ O+ O+ N+", &[2]),
        // Surge groups that stand in for groups 1 to 3 and are outdated themselves.
        ("R=4 MU=1 MS=2", 4, 6, "O+ N- N- N- O+ O+", &[]),
        // Groups that are scaled away do not stand in for others.
        ("R=2 MU=1", 0, 2, "O+ O+ O+ O+", &[1]),
        ("R=2 MU=1", 0, 2, "?+ O+ .. O+", &[1]),
    ] {
        let mut all = Settings::NONE;
        all.read(settings);
        let set = LeaderSet { replicas: existing, partition, annotated_replicas: None };
        let replace = |reported| {
            leaders_to_replace(&leaders(row), &reported, &set, &all.strategy, all.replicas)
        };
        let reported = Reported { generation: 2, observed_generation: 2, update_revision: "new" };
        assert_eq!(replace(reported), expected, "{settings} p{partition} | {row}");
        assert_eq!(replace(Reported { observed_generation: 1, ..reported }), [0; 0]);
        assert_eq!(replace(Reported { update_revision: "", ..reported }), [0; 0]);
    }
}

#[test]
fn a_note_tells_which_groups_are_replaced() {
    for (before, partition, replicas, note) in [
        (4, 3, 4, Some("Updating replica 3")),
        (4, 2, 6, Some("Updating replicas 2 to 3 (inclusive)")),
        (3, 3, 4, None),
        // A partition that rises, and one that only follows the scale, release nothing.
        (0, 4, 6, None),
        (5, 3, 3, None),
    ] {
        let to = Step { partition, replicas };
        assert_eq!(release_note(before, to).as_deref(), note, "{before} to {to:?}");
    }
}

#[test]
fn a_note_tells_which_surge_groups_go() {
    for (existing, desired_before, replicas, note) in [
        (6, Some(4), 4, Some("deleting surge replicas from s-4 to s-5")),
        (6, Some(4), 5, Some("deleting surge replica s-5")),
        (6, Some(4), 6, None),
        (6, Some(4), 8, None),
        // Ordinary scale-down, alone and of a set with surge.
        (6, Some(6), 3, None),
        (8, Some(6), 3, Some("deleting surge replicas from s-6 to s-7")),
        (6, None, 3, None),
    ] {
        let current =
            LeaderSet { replicas: existing, partition: 0, annotated_replicas: desired_before };
        let to = Step { partition: 0, replicas };
        let place = format!("{existing} of {desired_before:?} to {replicas}");
        assert_eq!(surge_deletion_note("s", &current, to).as_deref(), note, "{place}");
    }
}

/// `table` as the document shows it, partition and replicas as computed.
fn markdown(table: &Table<'_>) -> String {
    let width = table.rows.iter().map(|row| row.groups.len()).max().unwrap();
    let mut text = String::from("| event | partition | replicas |");
    for index in 0..width {
        write!(text, " {index} |").unwrap();
    }
    write!(text, "\n|---|---|---|{}\n", "---|".repeat(width)).unwrap();
    for (row, (applied, _)) in table.rows.iter().zip(play(table)) {
        let Step { partition, replicas } = applied;
        write!(text, "| {} | {partition} | {replicas} |", spelled_out(row.event)).unwrap();
        for index in 0..width {
            let cell = match row.groups.get(index).copied() {
                None => "",
                Some(None) => "–",
                Some(Some(GroupState { ready: true, updated: false })) => "old",
                Some(Some(GroupState { ready: false, updated: false })) => "old, down",
                Some(Some(GroupState { ready: true, updated: true })) => "**new**",
                Some(Some(GroupState { ready: false, updated: true })) => "new, down",
            };
            write!(text, " {cell} |").unwrap();
        }
        text.push('\n');
    }
    text
}

/// `event` with settings as users write them.
fn spelled_out(event: &str) -> String {
    let names = [
        ("MU=", "maxUnavailable: "),
        ("MS=", "maxSurge: "),
        ("LP=", "partition: "),
        ("R=", "replicas: "),
    ];
    names.into_iter().fold(event.to_owned(), |text, (short, name)| text.replace(short, name))
}

/// `document` with every table between its markers written anew.
fn regenerated(document: &str) -> String {
    const START: &str = "<!-- rollout ";
    const END: &str = "<!-- end -->";
    let all: Vec<_> = [WORKED, DECIDED].into_iter().flat_map(tables).collect();
    let mut parts = document.split(START);
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->").unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let table = all.iter().find(|table| table.name == name);
        let table = markdown(table.unwrap_or_else(|| panic!("no table {name}")));
        write!(text, "{START}{name} -->\n{table}{END}{after}").unwrap();
    }
    text
}

/// What the pictures of the guide show: the name of the table, and the title.
const PICTURES: [(&str, &str); 3] = [
    ("one-at-a-time", "A rollout of one group at a time"),
    ("surge-only", "A rollout with one group more"),
    ("nine-stages", "A rollout with maxUnavailable 2 and maxSurge 2"),
];

#[test]
fn the_documents_show_what_the_code_does() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let read = |name: &str| std::fs::read_to_string(docs.join(name)).unwrap_or_default();
    for (name, tables) in [("rollouts.md", 4), ("concepts.md", 1)] {
        let expected = regenerated(&read(name));
        assert!(expected.matches("| event |").count() >= tables, "{name} has lost its tables");
        is_up_to_date(&docs.join(name), &expected);
    }
    let all: Vec<_> = [WORKED, DECIDED].into_iter().flat_map(tables).collect();
    for (name, title) in PICTURES {
        let table = all.iter().find(|table| table.name == name).unwrap();
        let lines: Vec<_> = table.rows.iter().zip(play(table)).map(line).collect();
        let file = format!("images/rollout-{name}.svg");
        assert!(read("concepts.md").contains(&file), "{file} is not shown");
        is_up_to_date(&docs.join(file), &picture(title, &lines));
    }
}

fn line((row, (applied, _)): (&Row<'_>, (Step, String))) -> Line {
    Line { event: spelled_out(row.event), applied, groups: row.groups.clone() }
}

fn is_up_to_date(path: &Path, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, expected).unwrap();
    } else {
        let present = std::fs::read_to_string(path).unwrap_or_default();
        let path = path.display();
        assert!(present == expected, "run this test with UPDATE_DOCS=1 and review {path}");
    }
}
