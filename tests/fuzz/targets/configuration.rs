//! [`lws_fuzz::targets::configuration`] for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lws_fuzz::targets::configuration(data));
