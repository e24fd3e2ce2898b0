//! A server of admission webhooks over TLS. The path of a webhook selects its response.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The server; stops when dropped.
#[derive(Debug)]
pub(crate) struct WebhookServer {
    address: SocketAddr,
    /// The authority of its certificate, PEM in base64.
    pub(crate) ca_bundle: String,
    _running: JoinSet<()>,
}

impl WebhookServer {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If certificates cannot be made.
    pub(crate) async fn start() -> Result<Self> {
        let authority = pki::authority("webhooks")?;
        let pair = pki::serving(&authority, &["127.0.0.1".to_owned()])?;
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    // A client that disconnects ends its connection.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(respond))
                        .await;
                });
            }
        });
        Ok(Self {
            address,
            ca_bundle: STANDARD.encode(&authority.certificate),
            _running: running,
        })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// The client configuration of a webhook at a path.
    pub(crate) fn at(&self, path: &str) -> Value {
        let url = format!("https://{}{path}", self.address);
        json!({"url": url, "caBundle": self.ca_bundle})
    }
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let answered = answer(request).await;
    Ok(answered.unwrap_or_else(|error| {
        let mut response = Response::new(Full::from(format!("{error:#}")));
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
        response
    }))
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let review: Value = serde_json::from_slice(&body)?;
    let asked = &review["request"];
    let mut answer = json!({"uid": asked["uid"], "allowed": true});
    let plain = |code: u16, body: &'static str| {
        let response = Response::builder().status(code);
        let response = response.header("Content-Type", "text/plain");
        response.body(Full::from(body)).context("response")
    };
    match head.uri.path() {
        "/allow" => {}
        "/echo" => deny(&mut answer, json!({"code": 403, "message": shown(asked)})),
        "/deny" => deny(
            &mut answer,
            json!({"code": 403, "reason": "Forbidden", "message": "no"}),
        ),
        "/deny-reason" => deny(
            &mut answer,
            json!({"code": 418, "reason": "TooSmall", "details": {"causes": [
                {"reason": "FieldValueInvalid", "field": "spec.size", "message": "small"},
            ]}}),
        ),
        "/deny-plain" => answer["allowed"] = json!(false),
        "/warn" => answer["warnings"] = json!(["careful", "a \"quoted\" one", "careful"]),
        "/uid" => answer["uid"] = json!("x"),
        "/slow" => tokio::time::sleep(Duration::from_secs(20)).await,
        "/resize" => patch(
            &mut answer,
            &json!([
                {"op": "replace", "path": "/spec/size", "value": 7},
                {"op": "add", "path": "/metadata/labels/patched", "value": "yes"},
            ]),
        ),
        "/misfit" => patch(
            &mut answer,
            &json!([{"op": "replace", "path": "/spec/size", "value": "large"}]),
        ),
        "/bad-patch" => patch(
            &mut answer,
            &json!([{"op": "remove", "path": "/spec/missing"}]),
        ),
        "/move" => patch(
            &mut answer,
            &json!([{"op": "replace", "path": "/metadata/namespace", "value": "default"}]),
        ),
        "/untyped-patch" => answer["patch"] = json!(STANDARD.encode("[]")),
        "/garbage" => return plain(200, "garbage"),
        "/fail" => return plain(500, "bang"),
        "/missing" => return plain(404, "where?"),
        "/padded" => answer["pad"] = json!("x".repeat(3 << 20)),
        path => return scripted(path, &review, answer),
    }
    Ok(Response::new(Full::from(
        in_review(&review, &answer).to_string(),
    )))
}

fn in_review(review: &Value, answer: &Value) -> Value {
    json!({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": answer})
}

/// A response that the path contains: `/WHAT/BASE64`.
fn scripted(path: &str, review: &Value, mut answer: Value) -> Result<Response<Full<Bytes>>> {
    let (what, script) = path
        .trim_start_matches('/')
        .split_once('/')
        .with_context(|| format!("no response for {path}"))?;
    let script = URL_SAFE_NO_PAD.decode(script)?;
    let merge = |target: &mut Value| -> Result<()> {
        let fields: Map<String, Value> = serde_json::from_slice(&script)?;
        target
            .as_object_mut()
            .context("not an object")?
            .extend(fields);
        Ok(())
    };
    let mut response = Response::builder();
    let mut head = json!({});
    match what {
        "answer" => merge(&mut answer)?,
        "patch" => {
            answer["patch"] = json!(STANDARD.encode(&script));
            answer["patchType"] = json!("JSONPatch");
        }
        "head" => merge(&mut head)?,
        _ => {}
    }
    let mut whole = in_review(review, &answer);
    if what == "review" {
        merge(&mut whole)?;
    }
    let mut body = whole.to_string();
    if what == "body" {
        body = String::from_utf8(script)?.replace("REVIEW", &body);
    }
    for (name, value) in head.as_object().into_iter().flatten() {
        match name.as_str() {
            "code" => response = response.status(u16::try_from(value.as_u64().unwrap_or(0))?),
            "body" => body = value.as_str().unwrap_or_default().to_owned(),
            name => response = response.header(name, value.as_str().unwrap_or_default()),
        }
    }
    Ok(response.body(Full::from(body))?)
}

fn deny(answer: &mut Value, status: Value) {
    answer["allowed"] = json!(false);
    answer["status"] = status;
}

fn patch(answer: &mut Value, patch: &Value) {
    answer["patch"] = json!(STANDARD.encode(patch.to_string()));
    answer["patchType"] = json!("JSONPatch");
}

/// A request as text, without what differs between two objects of the same content.
fn shown(asked: &Value) -> String {
    let mut asked = asked.clone();
    asked["uid"] = Value::Null;
    for object in ["object", "oldObject"] {
        let metadata = asked[object].get_mut("metadata");
        let Some(metadata) = metadata.and_then(Value::as_object_mut) else {
            continue;
        };
        for key in ["uid", "creationTimestamp", "resourceVersion"] {
            if let Some(value) = metadata.get_mut(key) {
                *value = json!("PRESENT");
            }
        }
        let managers = metadata.get_mut("managedFields");
        for entry in managers.and_then(Value::as_array_mut).into_iter().flatten() {
            entry["time"] = Value::Null;
        }
    }
    asked.to_string()
}
