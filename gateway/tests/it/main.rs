//! Integration tests of the gateway: requests through the whole chain, over a store and a driver
//! that fails, hangs, ends and delays on command.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

#[path = "../../../crates/conformance/tests/kit/bent.rs"]
mod bent;
mod busy;
mod fake;

mod reads;
mod slow_clients;
mod store;
mod writes;
