//! Adoption: what an orphaning deletion of a set has left becomes the next one's of its name.

use kube::api::{Api, Patch, PatchParams};
use lws_api_types::LeaderWorkerSet;
use lws_api_types::keys::FIELD_MANAGER;
use serde_json::{Value, json};

use super::error::{Cause, Error};
use super::request::{Requests, Written, what};
use crate::observe::views::SetView;
use crate::plan::task::Target;

impl Requests {
    /// Makes `set` the controller of an object that nobody controls. The set is read anew before:
    /// the garbage collector deletes what is controlled by a set that is gone.
    pub(super) async fn adopt<K: Written>(
        &self,
        set: &LeaderWorkerSet,
        target: &Target,
        owners: &Value,
    ) -> Result<K, Error> {
        let ns = set.namespace();
        let found = self.set(set).await?.identity;
        if found.uid() != set.uid() || found.is_terminating() {
            let what = what::<SetView>(ns, set.name());
            return Err(Error { verb: "get", what, cause: Cause::SetGone });
        }
        let api = Api::<K>::namespaced(self.client.clone(), ns);
        let body = json!({"metadata": {"uid": target.uid, "ownerReferences": owners}});
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        // Keeps owners that do not control it.
        let patch = Patch::Strategic(&body);
        let what = what::<K>(ns, &target.name);
        self.send("patch", &what, api.patch(&target.name, &params, &patch)).await
    }
}
