//! libFuzzer's entry to `targets::jsonpath`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::jsonpath(data));
