//! One authorized request for a served resource.

use std::future::Future;
use std::sync::Arc;

use api_types::media_type::{self, Format};
use api_types::options::default_field_manager;
use api_types::request_info::RequestInfo;
use api_types::status::{ApiError, Details, Reason};
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, Request, Response, StatusCode};
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

/// kube-apiserver's words for a request that is shed.
const TOO_MANY: &str = "Too many requests, please try again later.";

/// What a handler is given.
#[derive(Debug)]
pub(crate) struct Call {
    /// Proof that the user may do this.
    pub permit: Permit,
    /// The reading of path and query.
    pub info: RequestInfo,
    /// The resource in the version asked for.
    pub served: Served,
    /// Deadline, warnings, audit id.
    pub context: Context,
    /// Method, URI and headers as they came.
    pub head: http::request::Parts,
    /// What is to be read, once.
    pub body: Body,
    /// What the body that was read is reckoned as until the request is answered.
    reckoned: Reckoned,
}

impl Call {
    /// Takes a request apart.
    pub(super) fn new(
        permit: Permit,
        info: RequestInfo,
        served: Served,
        context: Context,
        request: Request<Body>,
    ) -> Self {
        let (head, body) = request.into_parts();
        let reads = info.is_read_only();
        Self {
            permit,
            info,
            served,
            context,
            head,
            // What nobody will read must not wait in memory as long as a watch lasts.
            body: if reads { Body::empty() } else { body },
            reckoned: Reckoned::default(),
        }
    }

    /// A header's text; empty if it is missing or no text.
    pub(super) fn header(&self, name: &HeaderName) -> &str {
        let value = self.head.headers.get(name);
        value.and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    /// The query as it came; empty if there is none.
    pub(super) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// The object that the path names, as the target of a write.
    pub(super) fn target(&self, dry_run: bool, field_manager: &str) -> Target {
        let manager = match field_manager {
            "" => default_field_manager(self.header(&USER_AGENT)),
            named => named.to_owned(),
        };
        let origin = Origin {
            user: self.permit.user().name.clone(),
            manager,
            verb: self.info.verb.as_str().to_owned(),
            subresource: self.info.subresource.clone(),
            audit_id: self.context.shown_id().to_owned(),
            connection: self.context.connection,
        };
        Target {
            permit: self.permit.clone(),
            origin: Arc::new(origin),
            served: self.served.clone(),
            namespace: self.info.namespace.as_str().into(),
            name: self.info.name.as_str().into(),
            dry_run,
            warnings: self.context.warnings.clone(),
        }
    }

    /// Where the heavy work of this request is done.
    pub(super) fn compute(&self, api: &Api) -> Client {
        api.store.compute().of(&self.permit.user().name)
    }

    /// The answer that shows an object that was written.
    ///
    /// # Errors
    /// If the object has no such form.
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

    /// The whole body, as far as the resource allows.
    ///
    /// # Errors
    /// 413 if it is larger, 429 if others take the memory, 504 if it does not come, a plain 500 if it breaks
    /// off.
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

/// Rejects a path without the name of an object.
///
/// # Errors
/// 400.
pub(super) fn named(info: &RequestInfo) -> Result<(), ApiError> {
    if info.name.is_empty() {
        return Err(ApiError::bad_request("name must be provided"));
    }
    Ok(())
}

/// Does a write of one object within its time.
///
/// # Errors
/// 504 if it takes longer.
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
