//! SubjectAccessReviews: which requests cause one, its attributes, and failed reviews.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::kube_apiserver::status;
use super::server::{Client, THINGS, TestServer, until};

/// The attributes of the reviews, as `verb resource/subresource name` or `verb path`.
fn lines(reviews: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |spec: &Value| match &spec["resourceAttributes"] {
        Value::Null => {
            let path = &spec["nonResourceAttributes"];
            format!("{} {}", text(&path["verb"]), text(&path["path"]))
        }
        of => {
            let (resource, sub) = (text(&of["resource"]), text(&of["subresource"]));
            format!(
                "{} {resource}/{sub} {}",
                text(&of["verb"]),
                text(&of["name"])
            )
        }
    };
    reviews.iter().map(line).collect()
}

async fn metric(client: &mut Client, name: &str) -> String {
    let text = client.request("GET /metrics", &[]).await.text;
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_default()
        .rsplit(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_cached_by_whole_spec() {
    let server = TestServer::new("").await;
    let mut bob = server.user("bob", None).await;
    for _ in 0..3 {
        bob.request(&format!("GET {THINGS}"), &[]).await;
        bob.request(&format!("GET {THINGS}/x"), &[]).await;
        bob.request(&format!("GET {THINGS}/y/status"), &[]).await;
        bob.request(&format!("DELETE {THINGS}?labelSelector=a"), &[])
            .await;
    }
    let reviews = server.cluster.reviews();
    let expected = [
        "list things/ ",
        "get things/ x",
        "get things/status y",
        "deletecollection things/ ",
    ];
    assert_eq!(lines(&reviews), expected);
    assert_eq!(
        reviews[3]["resourceAttributes"]["labelSelector"],
        json!({"requirements": [{"key": "a", "operator": "Exists"}]})
    );
    // The same request of a user in another group is another review.
    let mut other = server.user("bob", Some("dev")).await;
    other.request(&format!("GET {THINGS}"), &[]).await;
    assert_eq!(server.cluster.reviews().len(), 1);

    let mut admin = server.user("admin", Some("system:masters")).await;
    let hits = "ark_authorization_cache_request_total{status=\"hit\"}";
    assert_eq!(metric(&mut admin, hits).await, "8");
    let codes = "apiserver_delegated_authz_request_total{code=\"201\"}";
    assert_eq!(metric(&mut admin, codes).await, "5");
    let count = "apiserver_delegated_authz_request_duration_seconds_count{code=\"201\"}";
    assert_eq!(metric(&mut admin, count).await, "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn lifetime_of_zero_asks_every_time() {
    let flags = "--authorization-webhook-cache-authorized-ttl 0s \
                 --authorization-webhook-cache-unauthorized-ttl 1h";
    let server = TestServer::new(flags).await;
    let mut bob = server.user("bob", None).await;
    let mut eve = server.user("eve", None).await;
    for _ in 0..3 {
        assert_eq!(bob.request(&format!("GET {THINGS}"), &[]).await.code, 200);
        assert_eq!(eve.request(&format!("GET {THINGS}"), &[]).await.code, 403);
    }
    let reviews = server.cluster.reviews();
    let of = |user: &str| reviews.iter().filter(|spec| spec["user"] == user).count();
    assert_eq!((of("bob"), of("eve")), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_request_has_text_and_reason() {
    let server = TestServer::new("").await;
    let mut eve = server.user("eve", None).await;
    let response = eve.request(&format!("PUT {THINGS}/x/status"), &[]).await;
    assert_eq!(response.code, 403);
    assert_eq!(
        response.json["message"],
        "things.example.com \"x\" is forbidden: User \"eve\" cannot update resource \
         \"things/status\" in API group \"example.com\" in the namespace \"a\": no rule"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_questions_in_flight_are_asked_once() {
    let server = TestServer::new("").await;
    server.cluster.change(|state| state.hold = true);
    let mut clients = tokio::task::JoinSet::new();
    // One certificate: its fingerprint is part of the review.
    let pair = pki::client(&server.users, "bob", None).unwrap();
    for _ in 0..20 {
        let mut bob = server.connect(Some(&pair)).await;
        clients.spawn(async move { bob.request(&format!("GET {THINGS}"), &[]).await.code });
    }
    let mut admin = server.user("admin", Some("system:masters")).await;
    let blocked = "authorization_cache_active_fetch_count";
    let admin = tokio::sync::Mutex::new(&mut admin);
    until("all of them wait", || async {
        let name = format!("ark_{blocked}{{status=\"blocked\"}}");
        metric(*admin.lock().await, &name).await == "20"
    })
    .await;
    server.cluster.change(|state| state.hold = false);
    while let Some(code) = clients.join_next().await {
        assert_eq!(code.unwrap(), 200);
    }
    assert_eq!(server.cluster.reviews().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_fail_closed_while_kube_apiserver_is_away() {
    let mut server = TestServer::new("").await;
    let mut bob = server.user("bob", None).await;
    assert_eq!(bob.request(&format!("GET {THINGS}"), &[]).await.code, 200);
    server.cluster.stop().await;
    let response = bob.request(&format!("GET {THINGS}"), &[]).await;
    assert_eq!(response.code, 200, "a cached decision: {response:?}");
    let began = Instant::now();
    let response = bob.request(&format!("GET {THINGS}/x"), &[]).await;
    assert_eq!(response.code, 500);
    let start = format!("Internal Server Error: \"{THINGS}/x\": cannot reach kube-apiserver: ");
    assert!(response.text.starts_with(&start), "{response:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "no retries");

    let mut admin = server.user("admin", Some("system:masters")).await;
    assert_eq!(admin.request(&format!("GET {THINGS}"), &[]).await.code, 200);
    let errors = "apiserver_delegated_authz_request_total{code=\"<error>\"}";
    assert_ne!(metric(&mut admin, errors).await, "");
    server.cluster.restart().await;
    assert_eq!(bob.request(&format!("GET {THINGS}/x"), &[]).await.code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_errors_are_retried_and_others_are_not() {
    let server = TestServer::new("").await;
    let busy = status(429, "TooManyRequests", "slow down");
    let broken = status(500, "InternalError", "etcd");
    let denied = status(403, "Forbidden", "no reviews for you");
    server.cluster.change(|state| {
        state.failures = vec![(429, busy), (500, broken)];
    });
    let mut bob = server.user("bob", None).await;
    assert_eq!(bob.request(&format!("GET {THINGS}"), &[]).await.code, 200);
    assert_eq!(server.cluster.reviews().len(), 3);
    server
        .cluster
        .change(|state| state.failures = vec![(403, denied)]);
    let response = bob.request(&format!("GET {THINGS}/x"), &[]).await;
    assert_eq!(response.code, 500);
    let text = format!("Internal Server Error: \"{THINGS}/x\": no reviews for you\n");
    assert_eq!(response.text, text);
    assert_eq!(server.cluster.reviews().len(), 1);
    assert_eq!(
        bob.request(&format!("GET {THINGS}/x"), &[]).await.code,
        404,
        "errors are not cached"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_and_allowed_paths_are_never_asked() {
    let server = TestServer::new("--authorization-always-allow-paths /livez,/openapi/*").await;
    let mut admin = server.user("admin", Some("system:masters")).await;
    let mut eve = server.user("eve", None).await;
    for line in ["GET /livez", "GET /openapi/v2", "GET /apis"] {
        assert_eq!(admin.request(line, &[]).await.code, 200, "{line}");
    }
    assert_eq!(eve.request("GET /livez", &[]).await.code, 200);
    assert_eq!(eve.request("GET /openapi/v2", &[]).await.code, 200);
    assert!(server.cluster.reviews().is_empty());
    assert_eq!(eve.request("GET /readyz", &[]).await.code, 403);
    assert_eq!(eve.request("GET /apis", &[]).await.code, 403);
    let reviews = server.cluster.reviews();
    assert_eq!(lines(&reviews), ["get /readyz", "get /apis"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_front_proxy_is_not_asked_again() {
    let server = TestServer::new("--authorization-trust-front-proxy").await;
    server.cluster.token("t", "eve");
    let list = format!("GET {THINGS}");
    let mut proxy = server.proxy("aggregator").await;
    let eve = [("X-Remote-User", "eve")];
    assert_eq!(proxy.request(&list, &eve).await.code, 200);
    assert!(server.cluster.reviews().is_empty());
    // Without the proxy, requests of the same user are reviewed, by token and by certificate.
    assert_eq!(server.with_token("t", &list).await.code, 403);
    let mut user = server.user("eve", None).await;
    assert_eq!(user.request(&list, &eve).await.code, 403);
    assert_eq!(server.cluster.reviews().len(), 2);
}
