//! [`lws_fuzz::targets::review`] for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lws_fuzz::targets::review(data));
