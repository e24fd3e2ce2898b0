//! The write side at its border: requests through the whole chain, over a store over a fake backend
//! that fails, hangs, dies and delays on command.

#[path = "../store/busy.rs"]
mod busy;
#[path = "../store/fake.rs"]
#[expect(dead_code, reason = "it can do more than is needed here")]
mod fake;
mod world;

#[path = "../../../crates/conformance/tests/kit/faulty_driver.rs"]
mod faulty_driver;

mod admission;
mod audit;
mod bodies;
mod bounds;
mod heavy;
mod leaving;
mod outcome;
mod quiet;
mod races;
mod stale;
mod together;
mod trouble;
mod unreadable;
mod values;
