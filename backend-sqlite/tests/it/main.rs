//! Tests of the driver: the contract, the driver behind the kit's trait, and its process.

mod conformance;
mod driver;
mod server;
