//! The audit of one request, from its head to the last byte of its response.

use std::sync::Arc;

use api_types::status::{ApiError, Status};
use axum::body::Body;
use http::Response;
use http_body::Body as _;
use jiff::Timestamp;
use tokio::time::Instant;

use super::event::{Event, Head, ObjectRef, Outcome};
use super::inner::Inner;
use super::policy::{Level, Stage};
use super::response::Captured;
use crate::reply::SentStatus;
use crate::request::Annotations;
use crate::request::recording::{Detail, Recording};

/// Submits the events of one request. When it is dropped before the last one, that one is submitted
/// then: at the end of a streamed response, or when the client has disconnected.
#[derive(Debug)]
pub struct Trail {
    inner: Arc<Inner>,
    head: Arc<Head>,
    object: Option<ObjectRef>,
    omit_stages: Vec<Stage>,
    /// Stage of the last event.
    last: Stage,
    recording: Recording,
    annotations: Annotations,
    /// Annotations that were taken for earlier events, in order of their keys.
    annotated: Vec<(String, String)>,
    outcome: Option<Outcome>,
    response: Option<Captured>,
    /// Whether a successful response is an object.
    responds_with_object: bool,
    /// Whether the last event was submitted.
    complete: bool,
}

/// The event of a request could not be stored, and the mode is `blocking-strict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to store audit event")]
pub struct NotStored;

impl Trail {
    pub(super) fn new(
        inner: Arc<Inner>,
        head: Arc<Head>,
        object: Option<ObjectRef>,
        omit_stages: Vec<Stage>,
        last: Stage,
        annotations: Annotations,
        responds_with_object: bool,
    ) -> Self {
        let detail = if head.level >= Level::Request {
            Detail::Bodies {
                omit_managed_fields: head.omit_managed_fields,
            }
        } else {
            Detail::Names
        };
        Self {
            recording: Recording::new(detail, inner.budget.clone()),
            inner,
            head,
            object,
            omit_stages,
            last,
            annotations,
            annotated: Vec::new(),
            outcome: None,
            response: None,
            responds_with_object,
            complete: false,
        }
    }

    /// Collects the body of the request.
    #[must_use]
    pub fn recording(&self) -> Recording {
        self.recording.clone()
    }

    /// Submits the event of the received request.
    ///
    /// # Errors
    /// If it could not be stored and the mode demands it. The request has no further event then.
    pub async fn received(&mut self, deadline: Instant) -> Result<(), NotStored> {
        if self.store(Stage::RequestReceived, deadline).await {
            return Ok(());
        }
        self.complete = true;
        self.inner.metrics.rejected();
        Err(NotStored)
    }

    /// Records a response. Submits the event of a long-running one, and the last event if the
    /// response is complete: the drop of the trail submits it otherwise.
    pub async fn respond(
        &mut self,
        response: Response<Body>,
        long_running: bool,
        deadline: Instant,
    ) -> Response<Body> {
        if self.complete {
            // The response to a request whose first event was not stored.
            return response;
        }
        let status = response.extensions().get::<SentStatus>();
        let status = status.map(|SentStatus(status)| Arc::clone(status));
        self.outcome = Some(Outcome {
            code: response.status().as_u16(),
            status: status.clone(),
        });
        let response = self.capture(response, status, long_running);
        if long_running && self.last == Stage::ResponseComplete {
            self.store(Stage::ResponseStarted, deadline).await;
        }
        let stream = response.body().size_hint().exact().is_none();
        if !(long_running || stream) || self.last == Stage::ResponseStarted {
            self.complete = true;
            self.store(self.last, deadline).await;
        }
        response
    }

    /// Captures the body of a response if the level demands it. Events of watches have none.
    fn capture(
        &mut self,
        response: Response<Body>,
        status: Option<Arc<Status>>,
        long_running: bool,
    ) -> Response<Body> {
        if self.head.level < Level::RequestResponse {
            return response;
        }
        if let Some(status) = status {
            self.response = Some(Captured::Status(status));
            return response;
        }
        let success = response.status().is_success();
        if long_running || !success || !self.responds_with_object {
            return response;
        }
        let (head, body) = response.into_parts();
        let (body, captured) = Captured::of(&head.headers, body, &self.inner.budget);
        self.response = captured;
        Response::from_parts(head, body)
    }

    async fn store(&mut self, stage: Stage, deadline: Instant) -> bool {
        match self.event(stage) {
            Some(event) => self.inner.store(event, deadline).await,
            None => true,
        }
    }

    /// The event of a stage, unless the policy omits it.
    fn event(&mut self, stage: Stage) -> Option<Event> {
        if self.omit_stages.contains(&stage) {
            return None;
        }
        self.annotated.extend(self.annotations.take());
        self.annotated.sort();
        self.annotated.dedup_by(|later, first| later.0 == first.0);
        let recorded = self.recording.recorded();
        let object = self.object.clone().map(|path| {
            let either = |path: String, body: String| if path.is_empty() { body } else { path };
            ObjectRef {
                namespace: either(path.namespace, recorded.namespace),
                name: either(path.name, recorded.name),
                uid: recorded.uid,
                resource_version: recorded.resource_version,
                ..path
            }
        });
        let received = stage == Stage::RequestReceived;
        Some(Event {
            head: Arc::clone(&self.head),
            stage,
            at: if received {
                self.head.received
            } else {
                Timestamp::now()
            },
            object,
            outcome: self.outcome.clone(),
            request: recorded.body,
            response: self.response.clone(),
            annotations: self.annotated.clone(),
            truncated: recorded.truncated,
            charge: None,
        })
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if self.complete {
            return;
        }
        let stage = if std::thread::panicking() {
            let error = ApiError::internal_plain("APIServer panic'd: see the log of the server");
            self.outcome = Some(Outcome {
                code: 500,
                status: Some(Arc::new(error.status().clone())),
            });
            Stage::Panic
        } else {
            self.last
        };
        if self.outcome.is_none() {
            // kube-apiserver's result of a request whose client left before the response.
            let status = Status {
                success: true,
                message: "Connection closed early".to_owned(),
                ..Status::default()
            };
            self.outcome = Some(Outcome {
                code: 200,
                status: Some(Arc::new(status)),
            });
        }
        if let Some(event) = self.event(stage) {
            self.inner.submit(event);
        }
    }
}
