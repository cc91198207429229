//! Any bytes, to every webhook.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lws_webhook::hook::Hook;
use lws_webhook_fuzz::verify::Webhooks;

static WEBHOOKS: LazyLock<Webhooks> = LazyLock::new(|| Webhooks::new(true));

fuzz_target!(|body: &[u8]| {
    for hook in Hook::ALL {
        WEBHOOKS.verify(hook, body);
    }
});
