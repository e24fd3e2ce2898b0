//! libFuzzer's entry to `targets::json_patch`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::json_patch(data));
