//! The client of the cluster's kube-apiserver. Only this module uses the crate `kube`
//! (docs/adr/0018-delegated-authentication-and-authorization.md).
//!
//! [`Cluster`] holds one client per purpose. [`reviews`] asks who a token belongs to and whether a
//! request is allowed; [`Answers`] bounds how often. [`informer`] follows the trust anchors of
//! kube-apiserver, the namespaces and the webhook configurations; [`services`] finds the addresses of
//! webhooks. [`secret`] and [`api_service`] keep and publish the
//! certificate of this server.

pub mod client;

mod call;
mod metrics;

pub mod reviews;

mod answers;
mod expiring;

pub mod informer;

mod receiver;

pub mod api_service;
pub mod secret;
pub mod services;

pub use answers::Answers;
pub use api_service::{ApiService, ApiServices};
pub use call::Error;
pub use client::{Client, Cluster, ConnectError, Kubeconfigs};
pub use metrics::{CacheMetrics, RequestMetrics};
pub use receiver::Receiver;
pub use secret::{ObjectName, Secret, Secrets};
pub use services::Services;
