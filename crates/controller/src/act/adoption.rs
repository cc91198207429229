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
        let sets = Api::<SetView>::namespaced(self.client.clone(), ns);
        let what_set = what::<SetView>(ns, set.name());
        let found = self.send("get", &what_set, sets.get_opt(set.name())).await?;
        let is_there =
            |it: &SetView| it.identity.uid() == set.uid() && !it.identity.is_terminating();
        if !found.as_ref().is_some_and(is_there) {
            return Err(Error { verb: "get", what: what_set, cause: Cause::SetGone });
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
