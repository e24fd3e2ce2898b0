//! The judge: request and expectation files, played against a real kube-apiserver and against
//! ark-apiserver, whose answers must be equal.
//!
//! A [`scenario`] is a YAML file of steps. [`engine`] starts the servers, [`run`] plays the steps
//! in a namespace of their own and checks each step's expectation, [`normalise`] replaces what may
//! differ between two honest servers (uids, times, revisions), [`diff`] shows what still does and
//! [`report`] tells the reader. `README.md` documents the file format.

pub mod repository;
pub mod scenario;

pub mod diff;
pub mod engine;
pub mod normalise;
pub mod report;
pub mod run;
pub mod suite;
