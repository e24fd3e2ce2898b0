//! Probe responses per state, with kube-apiserver's text.

use http_body_util::BodyExt as _;

use super::*;

struct Fixture {
    phase: watch::Sender<Phase>,
    shutdown: CancellationToken,
    health: Health,
}

fn fixture() -> Fixture {
    let (phase, receiver) = watch::channel(Phase::Ready);
    let shutdown = CancellationToken::new();
    let health = Health::new(receiver, shutdown.clone());
    Fixture {
        phase,
        shutdown,
        health,
    }
}

async fn check(response: Response<Body>, status: u16, body: &str) {
    assert_eq!(response.status(), status);
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(String::from_utf8_lossy(&bytes), body);
}

#[tokio::test]
async fn probes_succeed_when_ready() {
    let Fixture { health, .. } = fixture();
    for endpoint in Endpoint::ALL {
        check(health.all(endpoint, None), 200, "ok").await;
    }
    let verbose = "[+]ping ok\n[+]objects-loaded ok\n[+]storage ok\n[+]shutdown ok\n\
        readyz check passed\n";
    let response = health.all(Endpoint::Readyz, Some("verbose"));
    check(response, 200, verbose).await;
    let excluded = "[+]ping ok\n[+]storage excluded: ok\n\
        warn: some health checks cannot be excluded: no matches for \"a\",\"b\"\n\
        healthz check passed\n";
    let query = "verbose&exclude=b&exclude=storage&exclude=a";
    check(health.all(Endpoint::Healthz, Some(query)), 200, excluded).await;
    let one = health.one(Endpoint::Livez, "ping").unwrap();
    check(one, 200, "ok").await;
    assert!(health.one(Endpoint::Livez, "storage").is_none());
}

#[tokio::test]
async fn fence_is_shown_and_fails_no_probe() {
    let (fence, fenced) = watch::channel(true);
    let health = fixture().health.showing_fence(fenced);
    check(health.all(Endpoint::Readyz, None), 200, "ok").await;
    let verbose = "[+]ping ok\n[+]storage ok, but a fence rejects all writes\n\
        healthz check passed\n";
    check(health.all(Endpoint::Healthz, Some("verbose")), 200, verbose).await;
    fence.send_replace(false);
    let verbose = "[+]ping ok\n[+]storage ok\nhealthz check passed\n";
    check(health.all(Endpoint::Healthz, Some("verbose")), 200, verbose).await;
}

#[tokio::test]
async fn storage_error_fails_readyz_but_not_livez() {
    let Fixture { phase, health, .. } = fixture();
    phase.send_replace(Phase::Initializing {
        last_error: Some("no socket".to_owned()),
    });
    assert!(!health.is_loaded());
    check(health.all(Endpoint::Livez, None), 200, "ok").await;
    let lines = "[+]ping ok\n[-]objects-loaded failed: reason withheld\n\
        [-]storage failed: reason withheld\n[+]shutdown ok\n\
        readyz check failed\n";
    check(health.all(Endpoint::Readyz, None), 500, lines).await;
    let query = Some("exclude=storage");
    let lines = "[+]ping ok\n[-]objects-loaded failed: reason withheld\n\
        [+]storage excluded: ok\n[+]shutdown ok\nreadyz check failed\n";
    check(health.all(Endpoint::Readyz, query), 500, lines).await;
    let one = health.one(Endpoint::Readyz, "storage").unwrap();
    let text = "internal server error: objects are being loaded: no socket\n";
    check(one, 500, text).await;
    assert_eq!(
        health.ready().unwrap_err(),
        "objects are being loaded: no socket"
    );
}

/// The readiness probe of a pod in a cluster: kube-apiserver reaches discovery as long as the pod
/// is in the Service, also while requests for objects fail.
#[tokio::test]
async fn loaded_server_that_loses_storage_fails_the_storage_check_only() {
    let Fixture { phase, health, .. } = fixture();
    let lost = Phase::Resyncing {
        cause: "the driver does not respond".to_owned(),
    };
    phase.send_replace(lost);
    let lines = "[+]ping ok\n[+]objects-loaded ok\n[-]storage failed: reason withheld\n\
        [+]shutdown ok\nreadyz check failed\n";
    check(health.all(Endpoint::Readyz, None), 500, lines).await;
    let query = Some("exclude=storage");
    check(health.all(Endpoint::Readyz, query), 200, "ok").await;
}

#[tokio::test]
async fn draining_server_fails_readyz() {
    let Fixture {
        shutdown,
        health,
        phase: _phase,
    } = fixture();
    shutdown.cancel();
    check(health.all(Endpoint::Healthz, None), 200, "ok").await;
    let lines = "[+]ping ok\n[+]objects-loaded ok\n[+]storage ok\n\
        [-]shutdown failed: reason withheld\nreadyz check failed\n";
    check(health.all(Endpoint::Readyz, None), 500, lines).await;
}
