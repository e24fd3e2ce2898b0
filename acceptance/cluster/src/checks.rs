//! The checks, in the order in which they run: normal service first, faults last.

mod availability;
mod direct_port;
mod discovery;
mod fail_closed;
mod garbage;
mod moves;
mod namespaces;
mod operator;
mod outages;
mod rbac;
mod rotation;
mod self_managed;
mod verbs;
mod webhooks;

use std::time::Duration;

use anyhow::Result;
use futures_util::future::LocalBoxFuture;

use crate::world::World;

/// Time for one check.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(240);

/// A check of the shared cluster.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// What must hold, in one sentence.
    pub(crate) what: &'static str,
    /// Returns figures for the report.
    pub(crate) run: for<'a> fn(&'a mut World) -> LocalBoxFuture<'a, Result<String>>,
}

/// All checks.
pub(crate) fn all() -> Vec<Check> {
    let mut all = normal_service();
    all.extend(moves());
    all.extend(faults());
    all
}

fn normal_service() -> Vec<Check> {
    vec![
        Check {
            name: "available",
            what: "all APIServices are available within 10 s of the gateway's start",
            run: |world| Box::pin(availability::within_limit(world)),
        },
        Check {
            name: "discovery",
            what: "kubectl api-resources, api-versions and explain show our kinds as CRDs",
            run: |world| Box::pin(discovery::kubectl(world)),
        },
        Check {
            name: "openapi-as-aggregator",
            what: "the aggregator's own user, which has no group, reads OpenAPI with ETags",
            run: |world| Box::pin(discovery::as_aggregator(world)),
        },
        Check {
            name: "verbs",
            what: "every kubectl verb has the output and exit code that it has on CRDs",
            run: |world| Box::pin(verbs::kubectl(world)),
        },
        Check {
            name: "rbac",
            what: "RBAC by verb, namespace, resourceName, subresource and group decides as on CRDs",
            run: |world| Box::pin(rbac::as_crds(world)),
        },
        Check {
            name: "can-i",
            what: "kubectl auth can-i answers for our kinds; view and edit contain Ark's kinds",
            run: |world| Box::pin(rbac::can_i(world)),
        },
        Check {
            name: "webhooks",
            what: "admission webhooks decide, patch, warn and fail as on CRDs, and get the same reviews",
            run: |world| Box::pin(webhooks::as_crds(world)),
        },
        Check {
            name: "operator",
            what: "an operator in Ark's shape, with webhooks and reconcilers, observes the same as on CRDs",
            run: |world| Box::pin(operator::as_crds(world)),
        },
        Check {
            name: "direct-port",
            what: "the gateway's own port serves health only, without rights",
            run: |world| Box::pin(direct_port::without_rights(world)),
        },
        Check {
            name: "forged-identity",
            what: "identity headers count only with a certificate of the aggregator",
            run: |world| Box::pin(direct_port::forged(world)),
        },
        Check {
            name: "namespace-deletion",
            what: "namespaces are deleted, with and without our objects, under kube-controller-manager's service accounts",
            run: |world| Box::pin(namespaces::deletion(world)),
        },
        Check {
            name: "namespace-lifecycle",
            what: "missing and terminating namespaces reject objects, and report finalizers, as for CRDs",
            run: |world| Box::pin(namespaces::lifecycle(world)),
        },
        Check {
            name: "garbage",
            what: "owners are collected both ways between ConfigMaps and our kinds: background, foreground, orphan",
            run: |world| Box::pin(garbage::both_ways(world)),
        },
        Check {
            name: "openapi-v2",
            what: "kube-apiserver's OpenAPI v2 contains our kinds",
            run: |world| Box::pin(discovery::openapi_v2(world)),
        },
        Check {
            name: "server-log",
            what: "kube-apiserver logs no error about our groups in normal service",
            run: |world| Box::pin(availability::clean_log(world)),
        },
    ]
}

fn moves() -> Vec<Check> {
    vec![
        Check {
            name: "adopt-obstacles",
            what: "arkctl adopt names lost fields and an unreachable gateway, and changes nothing",
            run: |world| Box::pin(moves::obstacles(world)),
        },
        Check {
            name: "adopt",
            what: "arkctl adopt under writes, with an informer and the garbage collector: nothing is lost, and every client follows",
            run: |world| Box::pin(moves::adopt(world)),
        },
        Check {
            name: "adopted-restarts",
            what: "while the gateway serves, restarts of kube-apiserver let no write reach the CRDs",
            run: |world| Box::pin(moves::restarts(world)),
        },
        Check {
            name: "return",
            what: "arkctl return under the same clients: nothing is lost, and every client follows",
            run: |world| Box::pin(moves::give_back(world)),
        },
        Check {
            name: "move-killed",
            what: "arkctl is killed at many moments of both moves; the repeated command ends the move",
            run: |world| Box::pin(moves::killed(world)),
        },
    ]
}

fn faults() -> Vec<Check> {
    vec![
        Check {
            name: "driver-suspended",
            what: "without a response of the driver: discovery 200, objects 503 within 1 s, other groups unaffected",
            run: |world| Box::pin(outages::driver_suspended(world)),
        },
        Check {
            name: "driver-killed",
            what: "the same with a driver that has ended",
            run: |world| Box::pin(outages::driver_killed(world)),
        },
        Check {
            name: "gateway-killed",
            what: "a restarted gateway serves and is available again; other groups are unaffected meanwhile",
            run: |world| Box::pin(outages::gateway_killed(world)),
        },
        Check {
            name: "rotation",
            what: "front proxy authority, client authority and serving certificate are rotated under load without a failed request or relist",
            run: |world| Box::pin(rotation::under_load(world)),
        },
        Check {
            name: "self-managed-certificate",
            what: "in the chart's default TLS mode, the gateway writes its certificate and the authority of its APIServices, and repairs both",
            run: |world| Box::pin(self_managed::kept(world)),
        },
        Check {
            name: "server-gone",
            what: "without kube-apiserver, requests that need its decision are rejected; with it back, all works",
            run: |world| Box::pin(fail_closed::without_kube_apiserver(world)),
        },
    ]
}
