//! Tests of the arkctl process, against drivers behind the kit.

mod arguments;
mod backups;
mod closings;
mod cluster;
mod copies;
mod crd_differences;
mod crds;
mod deadlines;
mod faulty_driver;
mod inspection;
mod moves;
mod store;
