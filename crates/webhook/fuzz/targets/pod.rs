//! Pods that are nearly right, to the webhook that changes them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lws_webhook::hook::Hook;
use lws_webhook_fuzz::pods::AnyPod;
use lws_webhook_fuzz::verify::Webhooks;

static WEBHOOKS: LazyLock<[Webhooks; 2]> =
    LazyLock::new(|| [Webhooks::new(false), Webhooks::new(true)]);

fuzz_target!(|pod: AnyPod| {
    for webhooks in &*WEBHOOKS {
        webhooks.verify(Hook::MutatePod, pod.review().to_string().as_bytes());
    }
});
