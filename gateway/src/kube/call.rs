//! One request to kube-apiserver: attempts, timeouts and errors.
//!
//! The retries are those of `k8s.io/apiserver/pkg/util/webhook`: up to five attempts, with pauses
//! of 500 ms that grow by half, for errors that a retry can help. A refused connection is not one
//! of them, so that requests fail at once while kube-apiserver is away.

use std::error::Error as _;
use std::time::Duration;

use ::kube::client::Body;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use super::client::Client;
use super::metrics::RequestMetrics;

/// Attempts: `Steps` of `DefaultAuthWebhookRetryBackoff` in `k8s.io/apiserver`.
const ATTEMPTS: u32 = 5;
/// First pause, and its growth; each is longer by up to a fifth at random. Same source.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const PAUSE_GROWTH: f64 = 1.5;
const PAUSE_JITTER: f64 = 0.2;
/// Timeout of one attempt: `ClientTimeout` and `TokenRequestTimeout` of `k8s.io/apiserver`.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a response. A review has a few hundred, a namespace a few thousand.
const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// Why kube-apiserver did not give an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It rejected the request.
    #[error("{message}")]
    Rejected {
        /// HTTP code.
        code: u16,
        /// Reason of the Status; may be empty.
        reason: String,
        /// Message of the Status, or the code.
        message: String,
        /// When to retry, if it said so.
        retry_after: Option<Duration>,
    },
    /// No connection, or it broke.
    #[error("cannot reach kube-apiserver: {text}")]
    Unreachable {
        /// The causes.
        text: String,
        /// Whether an established connection broke.
        reset: bool,
    },
    /// No response in time.
    #[error("kube-apiserver did not respond within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The response is not the expected document.
    #[error("unreadable response of kube-apiserver: {0}")]
    Unreadable(String),
}

/// The parts of a Status that matter to a client.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    retry_after_seconds: u32,
}

/// A request that can be repeated. A PATCH is a server-side apply.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Bytes,
}

impl Call<'_> {
    /// Sends the request until there is an answer or an error that a retry does not help. The
    /// caller's deadline ends it earlier.
    ///
    /// # Errors
    /// That of the last attempt.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        client: &Client,
        metrics: Option<&RequestMetrics>,
    ) -> Result<T, Error> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            let error = match self.attempt(client, metrics).await {
                Err(error) if error.is_transient() => error,
                result => return result,
            };
            let random: f64 = rand::random();
            let jittered = pause.mul_f64(1.0 + PAUSE_JITTER * random);
            let asked = error.retry_after().unwrap_or_default();
            tracing::debug!(%error, path = self.path, "retrying request to kube-apiserver");
            sleep(jittered.max(asked)).await;
            pause = pause.mul_f64(PAUSE_GROWTH);
        }
        self.attempt(client, metrics).await
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        client: &Client,
        metrics: Option<&RequestMetrics>,
    ) -> Result<T, Error> {
        // The semaphore is never closed.
        let _permit = client.in_flight.acquire().await;
        let began = Instant::now();
        let exchanged = timeout(ATTEMPT_TIMEOUT, self.exchange(client)).await;
        let exchanged = exchanged.unwrap_or(Err(Error::Timeout(ATTEMPT_TIMEOUT)));
        if let Some(metrics) = metrics {
            let code = exchanged.as_ref().ok().map(|(code, ..)| code.as_u16());
            metrics.record(code, began.elapsed());
        }
        let (code, headers, body) = exchanged?;
        if code.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| Error::Unreadable(error.to_string()));
        }
        Err(rejected(code, &headers, &body))
    }

    async fn exchange(&self, client: &Client) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
        // JSON is YAML.
        let content_type = if self.method == Method::PATCH {
            "application/apply-patch+yaml"
        } else {
            "application/json"
        };
        let request = Request::builder()
            .method(self.method.clone())
            .uri(self.path)
            .header(CONTENT_TYPE, content_type)
            .header(ACCEPT, "application/json")
            .body(Body::from(self.body.to_vec()))
            .map_err(|error| Error::Unreadable(error.to_string()))?;
        let response = client
            .inner
            .send(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let (head, body) = response.into_parts();
        // bounded: by `Limited`.
        let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
        let body = body.map_err(|error| Error::Unreachable {
            text: error.to_string(),
            reset: true,
        })?;
        Ok((head.status, head.headers, body.to_bytes()))
    }
}

pub(super) fn rejected(code: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let header = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let seconds = match status.details.retry_after_seconds {
        0 => header,
        seconds => Some(u64::from(seconds)),
    };
    let message = if status.message.is_empty() {
        format!("kube-apiserver responded {code}")
    } else {
        status.message
    };
    Error::Rejected {
        code: code.as_u16(),
        reason: status.reason,
        message,
        retry_after: seconds.map(Duration::from_secs),
    }
}

pub(super) fn unreachable(error: &::kube::Error) -> Error {
    let mut texts = vec![error.to_string()];
    let mut reset = false;
    let mut source = error.source();
    while let Some(cause) = source {
        // An HTTP library reports a server that closed an idle connection as an incomplete message.
        reset |= cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_canceled());
        reset |= cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
        let text = cause.to_string();
        // Most errors repeat the text of their source. bounded: a handful of causes.
        if texts.last().is_some_and(|last| !last.contains(&text)) {
            texts.push(text);
        }
        source = cause.source();
    }
    Error::Unreachable {
        text: texts.join(": "),
        reset,
    }
}

// === impl Error ===

impl Error {
    /// Whether the object does not exist.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Rejected { code: 404, .. })
    }

    /// Whether the object is not the one that was read: its resourceVersion or UID differs.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Rejected { code: 409, .. })
    }

    /// `DefaultShouldRetry` of `k8s.io/apiserver/pkg/util/webhook`.
    fn is_transient(&self) -> bool {
        match self {
            Self::Rejected {
                code,
                reason,
                retry_after,
                ..
            } => {
                retry_after.is_some()
                    || *code == 429
                    || matches!(&**reason, "InternalError" | "Timeout" | "TooManyRequests")
            }
            Self::Unreachable { reset, .. } => *reset,
            Self::Timeout(_) | Self::Unreadable(_) => false,
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { retry_after, .. } => *retry_after,
            Self::Unreachable { .. } | Self::Timeout(_) | Self::Unreadable(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, retry_after: Option<&str>, body: &str, transient: bool, shown: &str) {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
        }
        let error = rejected(
            StatusCode::from_u16(code).unwrap(),
            &headers,
            body.as_bytes(),
        );
        assert_eq!(error.is_transient(), transient, "{code} {body}");
        assert_eq!(error.to_string(), shown);
    }

    #[test]
    fn transient_rejections_are_those_of_go() {
        check(
            500,
            None,
            r#"{"reason":"InternalError","message":"x"}"#,
            true,
            "x",
        );
        check(
            500,
            None,
            "x",
            false,
            "kube-apiserver responded 500 Internal Server Error",
        );
        check(
            504,
            None,
            r#"{"reason":"Timeout","message":"x"}"#,
            true,
            "x",
        );
        check(
            429,
            None,
            "",
            true,
            "kube-apiserver responded 429 Too Many Requests",
        );
        check(503, Some("1"), r#"{"message":"x"}"#, true, "x");
        check(503, None, r#"{"message":"x"}"#, false, "x");
        check(
            503,
            None,
            r#"{"message":"x","details":{"retryAfterSeconds":2}}"#,
            true,
            "x",
        );
        check(
            403,
            None,
            r#"{"reason":"Forbidden","message":"no"}"#,
            false,
            "no",
        );
        check(
            409,
            None,
            r#"{"details":null,"message":"no"}"#,
            false,
            "kube-apiserver responded 409 Conflict",
        );
    }
}
