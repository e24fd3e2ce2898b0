//! The write side at its border: requests through the whole chain, over a store over a fake backend
//! that fails, hangs, dies and delays on command.

mod world;

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
