//! libFuzzer's entry to `targets::merge_patch`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::merge_patch(data));
