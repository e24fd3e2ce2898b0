//! An API server for custom resources whose objects are stored outside etcd.
//!
//! Two flows explain the crate; the modules below are in the order in which a request passes them.
//!
//! *Write*: bytes → [`request::Context`] and request info → [`request::User`] → [`authz::Permit`] →
//! handler → registry → store → backend, and the response back.
//!
//! *Watch*: backend event → watch cache → frames encoded once → the response body of every watcher,
//! which [`serving`] ends when the server drains.

pub mod serving;
pub mod serving_certificate;

pub mod stack;

pub mod request;

pub mod auth;
pub mod authz;

pub mod kube;

pub mod audit;

pub mod config_file;

pub mod backend;

pub mod store;

pub mod resources;

pub mod status;

pub mod patch;

mod scale;

mod codec;
mod strategy;

pub mod admission;

mod registry;

pub mod discovery;
pub mod health;
pub mod openapi;

pub mod handlers;

pub mod app;
pub mod config;

pub mod compute;
mod fair_queue;
pub mod fields;
pub mod reply;
pub mod telemetry;
