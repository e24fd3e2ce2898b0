//! Requests with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use kube_http::Client;
use serde_json::Value;
use tokio::time::timeout;

/// Time for any response; checks with a stricter limit compare [`Response::elapsed`].
const TIMEOUT: Duration = Duration::from_secs(20);

/// Attempts of client-go for a response that asks to retry (`maxRetries` of its `Request`), and its delay
/// after `Retry-After: 1`.
const MAX_ATTEMPTS: usize = 10;
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A complete response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) elapsed: Duration,
}

/// A request without credentials.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    method: &'a str,
    path: &'a str,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: &'a str, path: &'a str) -> Self {
        let headers = match method {
            "PATCH" => vec![(
                "Content-Type".to_owned(),
                "application/merge-patch+json".to_owned(),
            )],
            "POST" | "PUT" | "DELETE" => {
                vec![("Content-Type".to_owned(), "application/json".to_owned())]
            }
            _ => Vec::new(),
        };
        Self {
            method,
            path,
            headers,
            body: Bytes::new(),
        }
    }

    /// A server-side apply.
    pub(crate) fn apply(path: &'a str) -> Self {
        let content = "application/apply-patch+yaml".to_owned();
        Self {
            method: "PATCH",
            path,
            headers: vec![("Content-Type".to_owned(), content)],
            body: Bytes::new(),
        }
    }

    pub(crate) fn body(mut self, body: &Value) -> Self {
        self.body = body.to_string().into();
        self
    }

    pub(crate) fn headers(mut self, headers: &[(&str, &str)]) -> Self {
        let owned = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.headers.extend(owned);
        self
    }

    /// Sends the request, and reads the response to its end.
    ///
    /// # Errors
    /// If the server cannot be reached or does not respond in time.
    pub(crate) async fn send(self, client: &Client) -> Result<Response> {
        let title = format!("{} {}", self.method, self.path);
        let began = Instant::now();
        let response = async {
            let sent = client.send(self.method, self.path, &self.headers, self.body);
            let (head, body) = sent.await?.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok((head, body))
        };
        let (head, body) = timeout(TIMEOUT, response)
            .await
            .map_err(|_| anyhow::anyhow!("no response within {TIMEOUT:?}"))
            .and_then(|done| done)
            .context(title)?;
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            elapsed: began.elapsed(),
        })
    }

    /// As [`Self::json`], and repeats a request that the server asks to repeat, as client-go does.
    ///
    /// # Errors
    /// As [`Self::json`].
    pub(crate) async fn json_with_retries(self, client: &Client) -> Result<Value> {
        for _ in 1..MAX_ATTEMPTS {
            if !self.clone().send(client).await?.is_retried() {
                break;
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
        self.json(client).await
    }

    /// Sends the request, and returns the JSON of a successful response.
    ///
    /// # Errors
    /// With the server's message otherwise.
    pub(crate) async fn json(self, client: &Client) -> Result<Value> {
        let title = format!("{} {}", self.method, self.path);
        let response = self.send(client).await?;
        let ok = (200..300).contains(&response.status);
        ensure!(ok, "{title}: {} {}", response.status, response.message());
        Ok(response.value())
    }
}

impl Response {
    /// The body, or null if it is not JSON.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The message of a Status, or else the body.
    pub(crate) fn message(&self) -> String {
        match &self.value()["message"] {
            Value::String(message) => message.clone(),
            _ => String::from_utf8_lossy(&self.body)
                .chars()
                .take(300)
                .collect(),
        }
    }

    /// Whether a client of client-go sends the request again.
    pub(crate) fn is_retried(&self) -> bool {
        let retried = self.status == 429 || self.status >= 500;
        retried && self.headers.contains_key(http::header::RETRY_AFTER)
    }
}
