//! The gateway without kube-apiserver.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube_http::Client;
use serde_json::json;

use super::namespaces;
use crate::call::Call;
use crate::crds::{OURS, widget, widgets};
use crate::poll::until;
use crate::users::{rule, user};
use crate::world::World;

const NAMESPACE: &str = "alone";
/// Decisions are cached for 10 s.
const EXPIRY_TIMEOUT: Duration = Duration::from_secs(15);
/// Five attempts with back-off; a request must end in any case.
const DECISION_TIMEOUT: Duration = Duration::from_secs(15);
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn without_kube_apiserver(world: &mut World) -> Result<String> {
    world.namespace(NAMESPACE).await?;
    namespaces::create(world, OURS, NAMESPACE, "a").await?;
    let rules = [rule(&["get"], &["widgets"], &[])];
    for name in ["known", "later"] {
        world.grant(NAMESPACE, name, &rules, &user(name)).await?;
        let resource = json!({"namespace": NAMESPACE, "verb": "get", "group": OURS,
            "resource": "widgets", "name": "a"});
        let spec = json!({"user": name, "resourceAttributes": resource});
        world.wait_allowed(&spec).await?;
    }
    let token = token(world).await?;
    let clients = Clients::new(world, &token)?;
    let object = format!("{}/a", widgets(OURS, NAMESPACE));
    let status = Call::new("GET", &object).send(&clients.known).await?.status;
    ensure!(status == 200, "a user with rights: {status}");

    world.cluster.control_plane.kill_server().await?;
    let outage = alone(&clients, &object).await;
    world.cluster.control_plane.start_server().await?;
    let figures = outage?;

    let ((), recovered) = until(RECOVERY_TIMEOUT, async || {
        let direct = Call::new("GET", &object).send(&clients.later).await?.status;
        let proxied = Call::new("GET", &object).send(&world.admin).await?.status;
        Ok(if (direct, proxied) == (200, 200) {
            Ok(())
        } else {
            Err(format!("direct {direct}, through the aggregator {proxied}"))
        })
    })
    .await?;
    let admin = &world.admin;
    world.cluster.release.wait_available(admin).await?;
    namespaces::delete(world, NAMESPACE).await?;
    namespaces::gone(world, NAMESPACE, namespaces::DELETION_TIMEOUT).await?;
    Ok(format!(
        "{figures}, recovered after {:.1} s",
        recovered.as_secs_f64()
    ))
}

/// Clients of the gateway's own port.
struct Clients {
    /// A user whose decision is cached.
    known: Client,
    /// A user with rights about which no decision is cached.
    later: Client,
    /// A member of `system:masters`.
    master: Client,
    /// A service account.
    account: Client,
    anonymous: Client,
}

impl Clients {
    fn new(world: &World, token: &str) -> Result<Self> {
        let direct = |name: &str, group: Option<&str>| {
            let user = world.user(name, group)?;
            world.direct(&user.pair)
        };
        let mut account = world.cluster.gateway.direct("", "")?;
        let anonymous = Client::new(&account, false)?;
        account.token = Some(token.to_owned());
        Ok(Self {
            known: direct("known", None)?,
            later: direct("later", None)?,
            master: direct("root", Some("system:masters"))?,
            account: Client::new(&account, true)?,
            anonymous,
        })
    }
}

/// A token of a service account, which the gateway has not seen.
async fn token(world: &World) -> Result<String> {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {}});
    let path = "/api/v1/namespaces/ark-system/serviceaccounts/ark-apiserver/token";
    let created = Call::new("POST", path)
        .body(&request)
        .json(&world.admin)
        .await?;
    let token = created["status"]["token"].as_str().context("no token")?;
    Ok(token.to_owned())
}

async fn alone(clients: &Clients, object: &str) -> Result<String> {
    let response = Call::new("GET", object).send(&clients.known).await?;
    ensure!(
        response.status == 200,
        "a cached decision: {} {}",
        response.status,
        response.message()
    );
    let mut slowest = Duration::ZERO;
    for (who, client) in [
        ("a user", &clients.later),
        ("a service account", &clients.account),
        ("anonymous", &clients.anonymous),
    ] {
        let response = Call::new("GET", object).send(client).await?;
        ensure!(
            matches!(response.status, 401 | 403 | 500 | 503),
            "{who} without kube-apiserver: {}",
            response.status
        );
        ensure!(
            response.elapsed < DECISION_TIMEOUT,
            "{who} waited for {:?}",
            response.elapsed
        );
        slowest = slowest.max(response.elapsed);
    }
    let response = Call::new("GET", object).send(&clients.master).await?;
    ensure!(
        response.status == 200,
        "a member of system:masters, who needs no decision: {} {}",
        response.status,
        response.message()
    );
    let missing = widgets(OURS, "never-created");
    let call = Call::new("POST", &missing).body(&widget(OURS, "a"));
    let response = call.send(&clients.master).await?;
    ensure!(
        response.status >= 400,
        "create in an unknown namespace: {}",
        response.status
    );
    for path in ["/livez", "/readyz"] {
        let response = Call::new("GET", path).send(&clients.anonymous).await?;
        ensure!(response.status == 200, "{path}: {}", response.status);
    }
    let ((), expired) = until(EXPIRY_TIMEOUT, async || {
        let response = Call::new("GET", object).send(&clients.known).await?;
        Ok(match response.status {
            200 => Err("a cached decision does not expire".to_owned()),
            _ => Ok(()),
        })
    })
    .await?;
    Ok(format!(
        "rejected within {:.1} s, decision expired after {:.1} s",
        slowest.as_secs_f64(),
        expired.as_secs_f64()
    ))
}
