//! libFuzzer's entry to `targets::label_selector`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::label_selector(data));
