//! Watches over WebSocket, as `golang.org/x/net/websocket` serves them in kube-apiserver.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, StatusCode};
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client::Client;
use crate::program::{DEADLINE, Program};

const QUERIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries";

type Socket = WebSocketStream<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>;

fn query(name: &str) -> String {
    format!(
        "{{\"apiVersion\":\"ark.mckinsey.com/v1alpha1\",\"kind\":\"Query\",\
         \"metadata\":{{\"name\":\"{name}\"}},\"spec\":{{\"input\":\"hello\"}}}}"
    )
}

/// Opens a WebSocket; `headers` are added to or replace those of the handshake.
async fn open(client: &Client, path: &str, headers: &[(&str, &str)]) -> Result<Socket, Error> {
    let mut request = Request::get(format!("wss://localhost{path}"))
        .header("host", "localhost")
        .header("origin", "https://localhost")
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "WebSocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key())
        .body(())
        .unwrap();
    for (name, value) in headers {
        let name = http::HeaderName::try_from(*name).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let stream = client.connect().await.expect("a connection");
    let opened = timeout(DEADLINE, client_async(request, stream)).await;
    opened.expect("a response").map(|(socket, _)| socket)
}

/// Status and body of the response to a rejected handshake.
async fn rejected(client: &Client, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
    match open(client, path, headers).await {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status(), String::from_utf8(body).unwrap())
        }
        other => panic!("{headers:?}: {other:?}"),
    }
}

async fn received(socket: &mut Socket) -> Message {
    let received = timeout(DEADLINE, socket.next()).await;
    received.expect("a message").expect("no end").unwrap()
}

#[tokio::test]
async fn each_event_is_a_text_frame() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let path = format!("{QUERIES}?watch=1&timeoutSeconds=3");
    let mut socket = open(&admin, &path, &[("accept-encoding", "gzip")])
        .await
        .unwrap();
    // Messages of the client are ignored, except pings.
    socket.send(Message::text("ignored")).await.unwrap();
    socket.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(received(&mut socket).await, Message::Pong("x".into()));
    for name in ["a", "b"] {
        let created = admin.send("POST", QUERIES, query(name)).await.unwrap();
        assert_eq!(created.0, StatusCode::CREATED, "{}", created.1);
    }
    for name in ["a", "b"] {
        let Message::Text(text) = received(&mut socket).await else {
            panic!("not a text frame");
        };
        assert!(text.ends_with("}\n"), "{text}");
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["type"], "ADDED");
        assert_eq!(event["object"]["metadata"]["name"], name);
    }
    // The end of the watch.
    let Message::Close(Some(end)) = received(&mut socket).await else {
        panic!("not a close frame");
    };
    assert_eq!(end.code, CloseCode::Normal);
    let closed = timeout(Duration::from_secs(5), socket.next()).await;
    assert!(closed.expect("the connection ends").is_none());

    // An error of a watch is an event.
    let path = format!("{QUERIES}?watch=1&resourceVersion=1");
    let mut socket = open(&admin, &path, &[]).await.unwrap();
    let text = received(&mut socket).await.into_text().unwrap();
    assert!(text.contains("\"type\":\"ERROR\""), "{text}");
}

#[tokio::test]
async fn handshake_follows_rules_of_reference() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let watch = format!("{QUERIES}?watch=1");
    let none = String::new();
    for origin in ["", "null", "localhost"] {
        let rejected = rejected(&admin, &watch, &[("origin", origin)]).await;
        assert_eq!(rejected, (StatusCode::FORBIDDEN, none.clone()), "{origin}");
    }
    let version = rejected(&admin, &watch, &[("sec-websocket-version", "8")]).await;
    let message = "missing or bad WebSocket Version".to_owned();
    assert_eq!(version, (StatusCode::BAD_REQUEST, message));
    let protocols = rejected(&admin, &watch, &[("sec-websocket-protocol", "a, b")]).await;
    assert_eq!(protocols, (StatusCode::BAD_REQUEST, none));
    let one = open(&admin, &watch, &[("sec-websocket-protocol", "a")]).await;
    assert!(one.is_ok(), "{one:?}");
    // The watch comes first.
    let unknown = watch.replace("queries", "unknowns");
    let (status, _) = rejected(&admin, &unknown, &[("origin", "")]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // Other requests are served as if they did not ask.
    let (status, body) = rejected(&admin, QUERIES, &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("QueryList"), "{body}");
    let anonymous = rejected(&admin.anonymous(), &watch, &[]).await;
    assert_eq!(anonymous.0, StatusCode::UNAUTHORIZED);
}
