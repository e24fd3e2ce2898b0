//! libFuzzer's entry to `targets::manifest`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::manifest(data));
