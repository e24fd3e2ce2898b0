//! An API server for custom resources whose objects live outside etcd.
//!
//! Two flows explain the whole crate; modules below are in the order a request meets them.
//!
//! *Write*: bytes → [`request::Context`] and request info → [`request::User`] →
//! [`authz::Permit`] → handler → registry → store → backend, and the answer back.
//!
//! *Watch*: backend event → watch cache → frames encoded once → the body of every watcher's
//! response, cut by [`serving`] when the server drains.

pub mod serving;

pub mod stack;

pub mod request;

pub mod auth;
pub mod authz;

pub mod backend;

pub mod store;

pub mod resources;

pub mod status;

pub mod patch;

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
pub mod reply;
pub mod telemetry;
