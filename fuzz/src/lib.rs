//! Properties of everything that parses what clients and administrators send.
//!
//! Each function of [`targets`] takes arbitrary bytes and panics if a property does not hold. Two things
//! call them: libFuzzer (`cargo +nightly fuzz run json --features libfuzzer`), for as long as one likes,
//! and `tests/it.rs`, on stable for a few seconds each, with inputs that [`mutate`] makes of seeds.

pub mod mutate;
pub mod targets;
