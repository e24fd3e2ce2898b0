//! libFuzzer's entry to `targets::field_selector`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::field_selector(data));
