//! The write side at its border: requests through the whole chain, over a store over a fake backend
//! that fails, hangs, dies and delays on command.

mod server;

mod admission;
mod audit;
mod bodies;
mod bounds;
mod disconnects;
mod errors;
mod heavy;
mod outcome;
mod quiet;
mod races;
mod stale;
mod together;
mod unreadable;
mod values;
