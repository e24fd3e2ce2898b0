//! The gateway's own port, past the aggregator.

use anyhow::{Result, ensure};
use kube_http::Client;
use scenarios::engine::certificates::{Authority, Pair, Subject};
use scenarios::engine::cluster::control_plane::FRONT_PROXY;

use crate::call::{Call, Response};
use crate::crds::{OURS, widget, widgets};
use crate::world::World;

const HEALTH: [&str; 3] = ["/healthz", "/livez", "/readyz"];
const OTHERS: [&str; 9] = [
    "/",
    "/api",
    "/apis",
    "/apis/judge.example.com",
    "/apis/judge.example.com/v1",
    "/openapi/v2",
    "/openapi/v3",
    "/version",
    "/metrics",
];

pub(super) async fn without_rights(world: &mut World) -> Result<String> {
    let anonymous = Client::new(&world.cluster.gateway.direct("", "")?, false)?;
    let user = world.user("nobody-special", None)?;
    let known = world.direct(&user.pair)?;
    for path in HEALTH {
        for client in [&anonymous, &known] {
            let response = Call::new("GET", path).send(client).await?;
            ensure!(response.status == 200, "{path}: {}", response.status);
        }
    }
    for path in OTHERS {
        let response = Call::new("GET", path).send(&anonymous).await?;
        denied(path, &response)?;
    }
    let token = [("Authorization", "Bearer not-a-token")];
    let collection = widgets(OURS, "default");
    let object = format!("{collection}/a");
    let body = widget(OURS, "a");
    let requests = [
        ("GET", &collection),
        ("POST", &collection),
        ("DELETE", &collection),
        ("GET", &object),
        ("PUT", &object),
        ("PATCH", &object),
        ("DELETE", &object),
    ];
    for (method, path) in requests {
        let call = || {
            let call = Call::new(method, path);
            if matches!(method, "POST" | "PUT" | "PATCH") {
                return call.body(&body);
            }
            call
        };
        let title = format!("{method} {path}");
        denied(&title, &call().send(&anonymous).await?)?;
        denied(&title, &call().headers(&token).send(&anonymous).await?)?;
        let response = call().send(&known).await?;
        let expected = "User \"nobody-special\" cannot ";
        ensure!(
            response.status == 403 && response.message().contains(expected),
            "{title} of a user without rights: {} {}",
            response.status,
            response.message()
        );
    }
    let response = Call::new("GET", "/metrics").send(&known).await?;
    ensure!(response.status == 403, "/metrics: {}", response.status);
    let response = Call::new("GET", "/apis").send(&known).await?;
    ensure!(
        response.status == 200,
        "/apis of an authenticated user: {}",
        response.status
    );
    Ok(format!("{} requests", OTHERS.len() + 3 * requests.len()))
}

fn denied(title: &str, response: &Response) -> Result<()> {
    ensure!(
        matches!(response.status, 401 | 403),
        "{title}: {} {}",
        response.status,
        response.message()
    );
    Ok(())
}

const MASTER: [(&str, &str); 2] = [
    ("X-Remote-User", "intruder"),
    ("X-Remote-Group", "system:masters"),
];

pub(super) async fn forged(world: &mut World) -> Result<String> {
    let cluster = &world.cluster.control_plane;
    let proxies = &cluster.front_proxies;
    let stranger = Authority::new("front-proxy-ca")?;
    let client = Subject {
        name: FRONT_PROXY,
        ..Subject::default()
    };
    let other_name = Subject {
        name: "another-proxy",
        ..Subject::default()
    };
    let expired = Subject {
        expired: true,
        ..client.clone()
    };
    let hosts = ["localhost".to_owned()];
    let server = Subject {
        hosts: &hosts,
        ..client.clone()
    };
    let path = widgets(OURS, "default");
    let good = proxies.issue(&client)?;
    let response = as_master(world, &good, &path).await?;
    ensure!(
        response.status == 200,
        "the aggregator's certificate: {} {}",
        response.status,
        response.message()
    );
    let cases = [
        (
            "a foreign authority of the same name",
            stranger.issue(&client)?,
        ),
        ("a name that is not allowed", proxies.issue(&other_name)?),
        ("an expired certificate", proxies.issue(&expired)?),
        ("a server's certificate", proxies.issue(&server)?),
        // A user of the cluster, even with the aggregator's name.
        ("the authority of users", cluster.users.issue(&client)?),
    ];
    for (what, pair) in &cases {
        let response = as_master(world, pair, &path).await?;
        denied(what, &response)?;
    }
    let anonymous = Client::new(&world.cluster.gateway.direct("", "")?, false)?;
    let response = Call::new("GET", &path)
        .headers(&MASTER)
        .send(&anonymous)
        .await?;
    denied("no certificate", &response)?;
    let users = ambiguous(world, &good, &path).await?;
    Ok(format!("{} cases", cases.len() + 1 + users))
}

/// Headers that are repeated or empty, sent with the aggregator's certificate. The first user counts,
/// as in Go; it has no rights.
async fn ambiguous(world: &World, proxy: &Pair, path: &str) -> Result<usize> {
    let client = world.direct(proxy)?;
    let cases: [&[(&str, &str)]; 4] = [
        &[("X-Remote-User", "weak"), ("X-Remote-User", "admin")],
        &[("X-Remote-User", ""), MASTER[1]],
        &[MASTER[1]],
        &[
            ("X-Remote-User", "weak"),
            ("X-Remote-Groups", "system:masters"),
        ],
    ];
    for headers in cases {
        let response = Call::new("GET", path)
            .headers(headers)
            .send(&client)
            .await?;
        denied(&format!("{headers:?}"), &response)?;
    }
    Ok(cases.len())
}

async fn as_master(world: &World, pair: &Pair, path: &str) -> Result<Response> {
    let client = world.direct(pair)?;
    Call::new("GET", path).headers(&MASTER).send(&client).await
}
