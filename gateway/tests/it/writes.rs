//! Writes through the whole chain, over a store and a fake backend that fails, hangs, ends and
//! delays on command.

pub(crate) mod server;

mod admission;
mod audit;
mod bodies;
mod bounds;
mod disconnects;
mod errors;
mod heavy;
mod managers;
mod outcome;
mod quiet;
mod races;
mod stale;
mod together;
mod unreadable;
mod values;
