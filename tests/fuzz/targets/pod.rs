//! [`lws_fuzz::targets::pod`] for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lws_fuzz::targets::pod(data));
