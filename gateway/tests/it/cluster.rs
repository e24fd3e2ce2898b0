//! A server behind a kube-apiserver, which authenticates, authorizes and owns namespaces.

#[path = "cluster/kube_apiserver.rs"]
mod kube_apiserver;
#[path = "cluster/server.rs"]
mod server;
#[path = "cluster/webhook_server.rs"]
mod webhook_server;

#[path = "cluster/authentication.rs"]
mod authentication;
#[path = "cluster/authorization.rs"]
mod authorization;
#[path = "cluster/namespaces.rs"]
mod namespaces;
#[path = "cluster/self_managed.rs"]
mod self_managed;
#[path = "cluster/webhooks.rs"]
mod webhooks;
