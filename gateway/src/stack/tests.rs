//! The chain over a stub handler, with real certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use http_body_util::BodyExt as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::Notify;

use super::*;
use crate::auth::{Bundle, Certificates, Trust};
use crate::authz::{self, Attributes, Authorizer, Decision, Verdict};
use crate::request::user::MASTERS_GROUP;
use crate::serving::limits::Settings;
use crate::serving::unsent::UnsentLimits;

/// Responds by path.
#[derive(Debug, Default)]
struct Stub {
    entered: Arc<Notify>,
    release: Arc<Notify>,
}

impl Inner for Stub {
    async fn handle(
        &self,
        permit: Permit,
        info: RequestInfo,
        context: Context,
        _request: Request<Body>,
    ) -> Response<Body> {
        match info.name.as_str() {
            "panic" => panic!("on purpose"),
            "wait" => {
                self.entered.notify_one();
                self.release.notified().await;
            }
            "never" => std::future::pending().await,
            "warn" => context.warnings.add("careful"),
            "invalid" => {
                let mut response = Response::new(Body::from("x".repeat(1_000)));
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
                return response;
            }
            _ if info.verb.as_str() == "watch" => {
                let frames = futures_util::stream::once(async { Ok::<_, axum::Error>("event\n") });
                let open = futures_util::StreamExt::chain(frames, futures_util::stream::pending());
                return Response::new(Body::from_stream(open));
            }
            _ => {}
        }
        Response::new(Body::from(format!("hello {}", permit.user().name)))
    }

    fn serves(&self, info: &RequestInfo) -> bool {
        info.resource == "foos"
    }
}

struct Fixture {
    stack: Arc<Stack<Stub>>,
    admin: Peer,
    bob: Peer,
    stranger: Peer,
}

fn fixture(limits: Limits) -> Fixture {
    let authority = pki::authority("users").unwrap();
    let peer = |name: &str, group: Option<&str>| {
        let pair = pki::client(&authority, name, group).unwrap();
        let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        Peer::new(SocketAddr::from(([127, 0, 0, 1], 1)), vec![der])
    };
    let clients = Some(Bundle::from_pem(authority.certificate.as_bytes()).unwrap());
    let trust = ArcSwap::from_pointee(Trust {
        clients,
        front_proxies: None,
    });
    let stack = Stack {
        authenticators: Authenticators::of_certificates(Certificates::new(Arc::new(trust))),
        authorizers: Authorizers::built_in(),
        limits,
        lifecycle: Lifecycle::new(),
        metrics: Metrics::new(),
        auditor: Auditor::default(),
        tracer: Tracer::default(),
        inner: Stub::default(),
    };
    Fixture {
        stack: Arc::new(stack),
        admin: peer("admin", Some(MASTERS_GROUP)),
        bob: peer("bob", None),
        stranger: Peer::new(SocketAddr::from(([127, 0, 0, 1], 1)), Vec::new()),
    }
}

fn request(line: &str) -> Request<Body> {
    let (method, uri) = line.split_once(' ').unwrap();
    Request::builder()
        .method(method)
        .uri(uri)
        .body(Body::empty())
        .unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

const FOO: &str = "/apis/x.io/v1/namespaces/d/foos";

#[tokio::test]
async fn every_response_has_common_headers() {
    let fixture = fixture(Limits::new(1, 1));
    for (peer, line, status) in [
        (&fixture.admin, format!("GET {FOO}/n"), 200),
        (&fixture.stranger, format!("GET {FOO}/n"), 401),
        (&fixture.bob, format!("GET {FOO}/n"), 403),
        (&fixture.admin, format!("GET {FOO}/panic"), 500),
        (&fixture.admin, format!("GET {FOO}/n?timeout=zz"), 400),
        (&fixture.admin, "GET /apis/g/v1/watch".to_owned(), 500),
    ] {
        let response = fixture.stack.respond(peer, request(&line)).await;
        assert_eq!(response.status().as_u16(), status, "{line}");
        assert_eq!(response.headers()["audit-id"].len(), 36, "{line}");
        assert_eq!(
            response.headers()["cache-control"],
            "no-cache, private",
            "{line}"
        );
    }
    let mut sent = request(&format!("GET {FOO}/warn"));
    sent.headers_mut()
        .insert("audit-id", "mine".parse().unwrap());
    let response = fixture.stack.respond(&fixture.admin, sent).await;
    assert_eq!(response.headers()["audit-id"], "mine");
    assert_eq!(response.headers()["warning"], "299 - \"careful\"");
}

#[tokio::test]
async fn rejections_match_kube_apiserver() {
    let fixture = fixture(Limits::new(1, 1));
    let text_of =
        async |peer, line: &str| text(fixture.stack.respond(peer, request(line)).await).await;
    let status = |text: &str| format!("{{\"kind\":\"Status\",\"apiVersion\":\"v1\",{text}}}\n");
    assert_eq!(
        text_of(&fixture.stranger, "GET /version").await,
        status(
            r#""metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401"#
        )
    );
    assert_eq!(
        text_of(&fixture.bob, &format!("GET {FOO}")).await,
        status(concat!(
            r#""metadata":{},"status":"Failure","message":"foos.x.io is forbidden: User \"bob\" cannot list "#,
            r#"resource \"foos\" in API group \"x.io\" in the namespace \"d\"","reason":"Forbidden","#,
            r#""details":{"group":"x.io","kind":"foos"},"code":403"#
        ))
    );
    let mut protobuf = request("GET /version");
    let accept = "application/vnd.kubernetes.protobuf".parse().unwrap();
    protobuf.headers_mut().insert("accept", accept);
    let response = fixture.stack.respond(&fixture.stranger, protobuf).await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert!(bytes.starts_with(b"k8s\0\n\x0c\n\x02v1\x12\x06Status"));
    assert_eq!(
        text_of(&fixture.admin, &format!("GET {FOO}/panic")).await,
        "This request caused apiserver to panic. Look in the logs for details.\n"
    );
}

#[tokio::test]
async fn impersonation_is_rejected() {
    let fixture = fixture(Limits::new(1, 1));
    let lines = [
        format!("DELETE {FOO}/n"),
        format!("GET {FOO}?watch=1"),
        format!("GET {FOO}/never"),
        "GET /apis".to_owned(),
        "GET /nope".to_owned(),
        "GET /livez".to_owned(),
    ];
    for line in lines {
        for (name, status) in [("impersonate-user", 403), ("impersonate-group", 400)] {
            for peer in [&fixture.admin, &fixture.bob] {
                let mut sent = request(&line);
                sent.headers_mut()
                    .insert(name, HeaderValue::from_static("nobody"));
                let response = fixture.stack.respond(peer, sent).await;
                assert_eq!(response.status().as_u16(), status, "{line} {name}");
                assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            }
        }
    }
    let mut sent = request(&format!("DELETE {FOO}/n"));
    sent.headers_mut()
        .insert("impersonate-user", HeaderValue::from_static("nobody"));
    let response = fixture.stack.respond(&fixture.admin, sent).await;
    let body = text(response).await;
    let message = concat!(
        r#""message":"foos.x.io \"n\" is forbidden: User \"admin\" cannot impersonate-on:user-info:delete "#,
        r#"resource \"foos\" in API group \"x.io\" in the namespace \"d\"","reason":"Forbidden","#,
        r#""details":{"name":"n","group":"x.io","kind":"foos"},"code":403"#
    );
    assert!(body.contains(message), "{body}");
}

#[tokio::test]
async fn excess_requests_are_shed_except_for_masters() {
    let fixture = fixture(Limits::new(1, 0));
    let stack = fixture.stack.clone();
    let admin = Arc::new(fixture.admin);
    let waiting = tokio::task::JoinSet::from_iter([{
        let (stack, admin) = (stack.clone(), admin.clone());
        async move {
            stack
                .respond(&admin, request(&format!("GET {FOO}/wait")))
                .await
                .status()
        }
    }]);
    stack.inner.entered.notified().await;
    assert_eq!(stack.limits.in_flight().0, 1);
    // Authorization would reject Bob, but without a seat it is not called.
    let shed = stack
        .respond(&fixture.bob, request(&format!("GET {FOO}/n")))
        .await;
    assert_eq!(shed.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(shed.headers()["retry-after"], "1");
    assert_eq!(
        text(shed).await,
        "Too many requests, please try again later.\n"
    );
    let exempt = stack
        .respond(&admin, request(&format!("GET {FOO}/n")))
        .await;
    assert_eq!(exempt.status(), StatusCode::OK);
    stack.inner.release.notify_one();
    assert_eq!(waiting.join_all().await, [StatusCode::OK]);
    assert_eq!(stack.limits.in_flight().0, 0);
}

#[tokio::test(start_paused = true)]
async fn handler_past_deadline_is_timeout() {
    let fixture = fixture(Limits::new(1, 1));
    let line = format!("GET {FOO}/never?timeout=2s");
    let begun = Instant::now();
    let response = fixture.stack.respond(&fixture.admin, request(&line)).await;
    assert_eq!(begun.elapsed().as_secs(), Duration::from_secs(2).as_secs());
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let message = "Timeout: request did not complete within the allotted timeout";
    assert!(text(response).await.contains(message));
}

#[tokio::test]
async fn read_without_await_past_deadline_is_timeout() {
    let fixture = fixture(Limits::new(1, 1));
    // The outcome of a committed write is reported even after the deadline.
    for (line, status) in [
        (
            format!("GET {FOO}/n?timeout=1ns"),
            StatusCode::GATEWAY_TIMEOUT,
        ),
        (format!("DELETE {FOO}/n?timeout=1ns"), StatusCode::OK),
    ] {
        let response = fixture.stack.respond(&fixture.admin, request(&line)).await;
        assert_eq!(response.status(), status, "{line}");
    }
}

#[tokio::test]
async fn rejection_is_charged_until_read() {
    let fixture = fixture(Limits::new(1, 1));
    let limits = &fixture.stack.limits;
    for (peer, line) in [
        (&fixture.stranger, format!("GET {FOO}/n")),
        (&fixture.bob, format!("GET {FOO}/n")),
        (&fixture.admin, format!("GET {FOO}/panic")),
        (&fixture.admin, "GET /apis/g/v1/watch".to_owned()),
    ] {
        let response = fixture.stack.respond(peer, request(&line)).await;
        assert!(limits.unsent_bytes() > 0, "{line}");
        assert!(!text(response).await.is_empty());
        assert_eq!(limits.unsent_bytes(), 0, "{line}");
    }
}

#[tokio::test]
async fn rejections_without_room_are_short() {
    let unsent = UnsentLimits {
        connection: 4_000,
        ..UnsentLimits::default()
    };
    let limits = Limits::with(Settings {
        unsent,
        ..Settings::default()
    });
    let fixture = fixture(limits.clone());
    let long = format!("GET {FOO}/{}", "n".repeat(1_000));
    let invalid = format!("PUT {FOO}/invalid");
    for (peer, line) in [(&fixture.bob, &long), (&fixture.admin, &invalid)] {
        let outlet = limits.connect();
        let mut unread = Vec::new();
        let mut shed = 0;
        for _ in 0..20 {
            let mut request = request(line);
            request.extensions_mut().insert(outlet.clone());
            let response = fixture.stack.respond(peer, request).await;
            shed += usize::from(response.status() == StatusCode::TOO_MANY_REQUESTS);
            unread.push(response);
        }
        assert!(shed >= 14, "{shed} of {line:.30}");
        assert!(limits.unsent_bytes() < 8_000, "{}", limits.unsent_bytes());
    }
}

#[tokio::test]
async fn drain_ends_watches_and_rejects_new_requests() {
    let fixture = fixture(Limits::new(1, 1));
    let watch = fixture
        .stack
        .respond(&fixture.admin, request(&format!("GET {FOO}?watch=1")))
        .await;
    let mut body = watch.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&first[..], b"event\n");
    fixture.stack.lifecycle.drain(Duration::ZERO).await;
    assert!(body.frame().await.is_none(), "the watch ends cleanly");
    let after_drain = fixture
        .stack
        .respond(&fixture.admin, request(&format!("GET {FOO}/n")))
        .await;
    assert_eq!(after_drain.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(after_drain.headers()["retry-after"], "1");
    assert!(
        text(after_drain)
            .await
            .contains("apiserver is shutting down")
    );
}

#[tokio::test]
async fn head_has_headers_of_get_without_body() {
    let fixture = fixture(Limits::new(1, 1));
    let response = fixture
        .stack
        .respond(&fixture.admin, request(&format!("HEAD {FOO}/n")))
        .await;
    assert_eq!(response.headers()["content-length"], "11");
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn metrics_name_served_resources_only() {
    let fixture = fixture(Limits::new(1, 1));
    for resource in ["foos", "bars"] {
        let line = format!("GET /apis/x.io/v1/namespaces/d/{resource}/n");
        let _ = text(fixture.stack.respond(&fixture.admin, request(&line)).await).await;
    }
    let metrics = fixture.stack.metrics.render(exposition::Format::Text);
    let line = |resource: &str| format!("resource=\"{resource}\"");
    assert!(
        metrics.contains("apiserver_request_total{verb=\"GET\""),
        "{metrics}"
    );
    assert!(
        metrics.contains(&line("foos")) && !metrics.contains(&line("bars")),
        "{metrics}"
    );
}

/// An authorizer that fails for lists and has no opinion otherwise.
#[derive(Debug)]
struct Unreachable;

#[async_trait::async_trait]
impl Authorizer for Unreachable {
    async fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        if attributes.info.verb.as_str() != "list" {
            std::future::pending::<()>().await;
        }
        Verdict {
            error: Some(authz::Error("no <server>".to_owned())),
            ..Verdict::of(Decision::NoOpinion)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn authorizer_error_is_500_and_hang_ends_at_deadline() {
    let mut fixture = fixture(Limits::new(1, 1));
    let stack = Arc::get_mut(&mut fixture.stack).unwrap();
    stack.authorizers = Authorizers::new(vec![Box::new(Unreachable)]);
    for (line, status, expected) in [
        (
            format!("GET {FOO}?limit=1"),
            500,
            "Internal Server Error: \"/apis/x.io/v1/namespaces/d/foos?limit=1\": no &lt;server&gt;\n",
        ),
        (
            format!("DELETE {FOO}/n?timeout=3s"),
            504,
            "request did not complete within the allotted timeout",
        ),
        (
            format!("GET {FOO}?watch=1"),
            504,
            "request did not complete within the allotted timeout",
        ),
    ] {
        let began = Instant::now();
        let response = fixture.stack.respond(&fixture.admin, request(&line)).await;
        assert_eq!(response.status().as_u16(), status, "{line}");
        assert!(text(response).await.contains(expected), "{line}");
        assert!(began.elapsed() <= deadline::REQUEST_TIMEOUT, "{line}");
    }
}
