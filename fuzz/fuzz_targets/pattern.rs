//! libFuzzer's entry to `targets::pattern`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::pattern(data));
