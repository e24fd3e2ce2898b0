//! libFuzzer's entry to `targets::yaml`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::yaml(data));
