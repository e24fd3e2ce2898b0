//! One authorized request for a served resource.

use std::future::Future;
use std::sync::Arc;

use api_types::media_type::{self, Format};
use api_types::options::default_field_manager;
use api_types::protobuf::read::{self, Field};
use api_types::request_info::RequestInfo;
use api_types::status::{ApiError, Details, Reason};
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use tokio::time::timeout_at;

use super::Api;
use crate::authz::Permit;
use crate::codec::{self, Negotiated};
use crate::compute::{Client, Run};
use crate::registry::Target;
use crate::request::Context;
use crate::resources::Served;
use crate::serving::intake::{self, Intake, Reckoned};
use crate::store::Origin;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Limit of bodies in protobuf, bytes: they are decoded on the thread of the request.
const PROTOBUF_LIMIT: usize = 256 << 10;

/// kube-apiserver's text for a request that is shed.
const TOO_MANY: &str = "Too many requests, please try again later.";

/// Arguments of a handler.
#[derive(Debug)]
pub(crate) struct Call {
    /// Proof that the request was authorized.
    pub permit: Permit,
    /// The parsed path and query.
    pub info: RequestInfo,
    /// The resource in the requested version.
    pub served: Served,
    /// Deadline, warnings, audit ID.
    pub context: Context,
    /// Method, URI and headers as received.
    pub head: http::request::Parts,
    /// The body, which can be read once.
    pub body: Body,
    /// Memory that the body is accounted as until the response.
    reckoned: Reckoned,
}

impl Call {
    /// Splits a request into its parts.
    pub(super) fn new(
        permit: Permit,
        mut info: RequestInfo,
        served: Served,
        context: Context,
        request: Request<Body>,
    ) -> Self {
        let (head, body) = request.into_parts();
        let reads = info.is_read_only();
        if !served.namespaced() {
            // Set if the object is a namespace.
            info.namespace.clear();
        }
        Self {
            permit,
            info,
            served,
            context,
            head,
            // An unread body would stay in memory for the lifetime of a watch.
            body: if reads { Body::empty() } else { body },
            reckoned: Reckoned::default(),
        }
    }

    /// The text of a header; empty if absent or not text.
    pub(super) fn header(&self, name: &HeaderName) -> &str {
        let value = self.head.headers.get(name);
        value.and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    /// The raw query; empty if absent.
    pub(super) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// The object of the path, as the target of a write.
    pub(super) fn target(&self, dry_run: bool, field_manager: &str) -> Target {
        let manager = match field_manager {
            "" => {
                let agent = self.head.headers.get(&USER_AGENT);
                let agent = agent.map_or(&b""[..], HeaderValue::as_bytes);
                default_field_manager(&String::from_utf8_lossy(agent))
            }
            named => named.to_owned(),
        };
        let origin = Origin {
            user: self.permit.user().name.clone(),
            manager,
            verb: self.info.verb.as_str().to_owned(),
            subresource: self.info.subresource.clone(),
            audit_id: self.context.shown_id().to_owned(),
            connection: self.context.connection,
            span: self.context.span.clone(),
        };
        Target {
            permit: self.permit.clone(),
            origin: Arc::new(origin),
            served: self.served.clone(),
            namespace: self.info.namespace.as_str().into(),
            name: self.info.name.as_str().into(),
            dry_run,
            deadline: Some(self.context.write_deadline()),
            warnings: self.context.warnings.clone(),
            annotations: self.context.annotations.clone(),
        }
    }

    /// The pool for the heavy work of this request.
    pub(super) fn compute(&self, api: &Api) -> Client {
        api.store.compute().of(&self.permit.user().name)
    }

    /// The response for a written object.
    ///
    /// # Errors
    /// If the object cannot be encoded in the negotiated representation.
    pub(super) async fn written(
        &mut self,
        api: &Api,
        negotiated: Negotiated,
        status: StatusCode,
        object: Bytes,
    ) -> Result<Response<Body>, ApiError> {
        let weight = negotiated.weight(object.len());
        let served = self.served.clone();
        let encode = move |_: &Run| codec::object(&negotiated, &served, status, &object);
        self.compute(api).run_accepted(weight, encode).await
    }

    /// Reads the whole body, up to the limit of the resource.
    ///
    /// # Errors
    /// 413 if it is too large, 429 if the memory for bodies is in use, 504 if the client stalls, a
    /// plain 500 if the connection breaks.
    pub(super) async fn read_body(&mut self) -> Result<Bytes, ApiError> {
        let limit = self.served.resource().body_limit();
        let intake = Intake::of(&self.head.extensions);
        let body = std::mem::take(&mut self.body);
        let format = media_type::of_body(self.header(&CONTENT_TYPE));
        let yaml = matches!(format, Ok(Format::Yaml));
        let (bytes, reckoned) = intake
            .read(body, limit, |text| kube_json::estimate(text, yaml))
            .await
            .map_err(|error| match error {
                intake::Error::TooLarge => ApiError::too_large(format!("limit is {limit}")),
                intake::Error::Full => ApiError::new(Reason::TooManyRequests, TOO_MANY)
                    .with_details(Details::default())
                    .with_retry_after(1),
                intake::Error::Stalled => {
                    ApiError::timeout("request did not complete within the allotted timeout", 0)
                }
                intake::Error::Broken(error) => ApiError::internal_plain(error.to_string()),
            })?;
        self.reckoned = reckoned;
        Ok(bytes)
    }
}

impl Call {
    /// The format of the body. One in protobuf, which only built-in kinds have, becomes JSON.
    ///
    /// # Errors
    /// 415 for any other format.
    pub(super) fn format(&self) -> Result<Format, ApiError> {
        if self.is_protobuf() {
            return Ok(Format::Json);
        }
        media_type::of_body(self.header(&CONTENT_TYPE))
    }

    /// A body in the format of [`Self::format`]; `fields` are those of its message in protobuf.
    ///
    /// # Errors
    /// 400 if it is no such message, 413 if it is larger than any object of a built-in kind.
    pub(super) fn document(&self, body: Bytes, fields: &[Field]) -> Result<Bytes, ApiError> {
        if !self.is_protobuf() || body.is_empty() {
            return Ok(body);
        }
        if body.len() > PROTOBUF_LIMIT {
            return Err(ApiError::too_large(format!("limit is {PROTOBUF_LIMIT}")));
        }
        let object = read::object(&body, fields);
        let object = object.map_err(|error| ApiError::bad_request(error.to_string()))?;
        Ok(kube_json::to_vec(&object).into())
    }

    /// The fields of an object in protobuf.
    pub(super) fn message(&self) -> &'static [Field] {
        self.served.resource().message().unwrap_or_default()
    }

    fn is_protobuf(&self) -> bool {
        let content_type = self.header(&CONTENT_TYPE).split(';').next();
        self.served.resource().message().is_some() && content_type == Some(PROTOBUF)
    }
}

/// Rejects a path without an object name.
///
/// # Errors
/// 400.
pub(super) fn named(info: &RequestInfo) -> Result<(), ApiError> {
    if info.name.is_empty() {
        return Err(ApiError::bad_request("name must be provided"));
    }
    Ok(())
}

/// Runs a write of one object within its deadline.
///
/// # Errors
/// 504 if the deadline passes.
pub(super) async fn in_time<T>(
    context: &Context,
    write: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    match timeout_at(context.write_deadline(), write).await {
        Ok(done) => done,
        Err(_) => Err(ApiError::timeout(
            "request did not complete within requested timeout - context deadline exceeded",
            0,
        )),
    }
}
