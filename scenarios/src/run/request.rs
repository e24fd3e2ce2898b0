//! HTTP steps.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::sync::watch::Sender;

use super::capture::{Capture, Head};
use super::variables::Variables;
use crate::engine::Engine;
use crate::engine::client::Client;
use crate::scenario::Step;

/// A request that can be sent.
#[derive(Debug)]
pub struct Prepared {
    client: Client,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    aggregated: bool,
}

/// Fills in variables and defaults: JSON as content type of a body, and the administrator's
/// certificate unless the step sends `Authorization`.
///
/// # Errors
/// If a variable is not set.
pub fn prepare(
    engine: &Engine,
    variables: &Variables,
    namespace: &str,
    step: &Step,
    request: &str,
) -> Result<Prepared> {
    let request = variables.fill(request)?;
    let (method, path) = request
        .split_once(' ')
        .context("a request must be `METHOD path`")?;
    ensure!(!path.is_empty(), "the path is empty");
    let path = match path.strip_prefix('/') {
        Some(_) => path.to_owned(),
        None => format!("/apis/judge.example.com/v1/namespaces/{namespace}/{path}"),
    };
    let mut headers = Vec::new();
    for (name, value) in &step.headers {
        headers.push((name.clone(), variables.fill(value)?));
    }
    let body = match (&step.body, &step.raw) {
        (Some(value), _) => serde_json::to_vec(&variables.fill_value(value)?)?,
        (None, Some(text)) => variables.fill(text)?.into_bytes(),
        (None, None) => Vec::new(),
    };
    let given = |name: &str| {
        step.headers
            .keys()
            .any(|key| key.eq_ignore_ascii_case(name))
    };
    if !body.is_empty() && !given("content-type") {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    headers.retain(|(_, value)| !value.is_empty());
    let client = if given("authorization") {
        &engine.anonymous
    } else {
        &engine.client
    };
    let method = method.to_owned();
    Ok(Prepared {
        client: client.clone(),
        method,
        path,
        headers,
        body: body.into(),
        aggregated: engine.aggregated,
    })
}

impl Prepared {
    /// Sets the `Audit-ID`, unless the step sets one: equal on all servers, so that their audit
    /// events can be compared.
    pub fn identify(&mut self, id: &str) {
        let given = |(name, _): &(String, String)| name.eq_ignore_ascii_case("audit-id");
        if !self.headers.iter().any(given) {
            self.headers.push(("Audit-ID".to_owned(), id.to_owned()));
        }
    }
}

/// Sends the request; returns when the head of the response has arrived.
///
/// # Errors
/// If no response arrives.
pub async fn send(
    request: Prepared,
    sink: &Sender<Capture>,
) -> Result<http::Response<hyper::body::Incoming>> {
    let Prepared {
        client,
        method,
        path,
        headers,
        body,
        aggregated,
    } = request;
    let response = client.send(&method, &path, &headers, body).await?;
    let headers = response.headers().iter().map(|(name, value)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    let mut head = Head {
        status: response.status().as_u16(),
        headers: headers.collect(),
    };
    if aggregated {
        head.without_aggregator();
    }
    sink.send_modify(|capture| capture.head = Some(head));
    Ok(response)
}

/// Reads the body until it ends.
pub async fn receive(response: http::Response<hyper::body::Incoming>, sink: Sender<Capture>) {
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => sink.send_modify(|capture| capture.out.extend_from_slice(&data)),
            Ok(Err(_trailers)) => {}
            Err(error) => {
                sink.send_modify(|capture| capture.failure = Some(error.to_string()));
                break;
            }
        }
    }
    sink.send_modify(|capture| capture.ended = true);
}
