//! libFuzzer's entry to `targets::fields_v1`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::fields_v1(data));
