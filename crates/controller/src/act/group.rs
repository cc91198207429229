//! Requests about groups that exist: what is noted on their `StatefulSet`s, and their end.

use kube::api::{Api, DeleteParams, Patch, PatchParams};
use lws_api_types::keys::FIELD_MANAGER;
use serde_json::json;

use super::error::{Cause, Error};
use super::request::{Deleted, Requests, what};
use crate::observe::views::{PodView, StatefulSetView};
use crate::plan::task::Target;

impl Requests {
    /// Sets or removes an annotation of this very `StatefulSet`; `None` when it is gone.
    pub(super) async fn annotate(
        &self,
        ns: &str,
        target: &Target,
        key: &str,
        value: Option<&str>,
    ) -> Result<Option<StatefulSetView>, Error> {
        let api = Api::<StatefulSetView>::namespaced(self.client.clone(), ns);
        let body = json!({"metadata": {"uid": target.uid, "annotations": {key: value}}});
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(&body);
        let what = what::<StatefulSetView>(ns, &target.name);
        let annotated =
            match self.send("patch", &what, api.patch(&target.name, &params, &patch)).await {
                Err(error) if error.is_gone() => return Ok(None),
                answer => answer?,
            };
        // Without a word the same would be asked for again and again.
        if annotated.annotation(key) != value {
            let cause = Cause::NotKept(key.to_owned());
            return Err(Error { verb: "patch", what, cause });
        }
        Ok(Some(annotated))
    }

    /// Deletes a worker `StatefulSet`; gives what there is of it then. One that `stays` is gone after
    /// all that it owns.
    pub(super) async fn delete_worker_set(
        &self,
        ns: &str,
        target: &Target,
        stays: bool,
    ) -> Result<Deleted<StatefulSetView>, Error> {
        let params = if stays { DeleteParams::foreground() } else { DeleteParams::background() };
        self.delete(ns, target, params).await
    }

    /// Deletes a pod without waiting for its node. Finalizers are still waited for.
    pub(super) async fn release_pod(
        &self,
        ns: &str,
        target: &Target,
    ) -> Result<Deleted<PodView>, Error> {
        self.delete(ns, target, DeleteParams::default().grace_period(0)).await
    }
}
