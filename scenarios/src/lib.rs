//! Scenarios: files of requests and expectations that run on a real kube-apiserver and on
//! ark-apiserver, whose responses must be equal.
//!
//! A [`scenario`] is a YAML file of steps. [`engine`] starts the servers, [`run`] runs the steps in
//! a separate namespace and checks each step's expectation, [`normalise`] replaces values that may
//! differ between two correct servers (uids, times, revisions), [`diff`] shows the remaining
//! differences and [`report`] prints them. [`play`] writes at random instead, and
//! [`clients`] runs client libraries of server-side apply. `README.md` documents the file format.

pub mod repository;
pub mod scenario;

pub mod audit;
pub mod clients;
pub mod diff;
pub mod engine;
pub mod normalise;
pub mod play;
pub mod report;
pub mod run;
pub mod suite;
