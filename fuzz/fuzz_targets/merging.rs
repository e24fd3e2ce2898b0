//! libFuzzer's entry to `targets::merging`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::merging(data));
