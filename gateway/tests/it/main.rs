//! Integration tests of the gateway: requests through the whole chain, over a store and a driver
//! that fails, hangs, ends and delays on command.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod audit;
mod busy;
mod cluster;
mod fake;
#[path = "../../../crates/conformance/tests/kit/faulty_driver.rs"]
mod faulty_driver;
mod flags;
mod in_process;

mod non_resource;
mod reads;
mod slow_clients;
mod spans;
mod store;
mod writes;
