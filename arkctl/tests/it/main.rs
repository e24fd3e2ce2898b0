//! Tests of the arkctl process, against drivers behind the kit.

mod arguments;
mod backups;
mod closings;
mod copies;
mod crds;
mod liar;
mod looks;
mod moves;
mod store;
