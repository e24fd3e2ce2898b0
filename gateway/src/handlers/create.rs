//! `POST` of a collection.

use api_types::media_type;
use api_types::options::CreateOptions;
use api_types::status::ApiError;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};

use super::call::in_time;
use super::{Api, Call};
use crate::codec::{self, Form, decode};
use crate::registry::Target;
use crate::strategy::prepare;

/// Stores the object of the body.
pub(super) async fn create(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let form = Form::of(&call.head)?;
    let format = media_type::of_body(call.header(&CONTENT_TYPE))?;
    let body = call.read_body().await?;
    let options = CreateOptions::parse(call.query())?;
    let (served, warnings) = (&call.served, &call.context.warnings);
    let validation = options.field_validation();
    let mut object = decode::body(served, format, &body, validation, warnings)?;
    prepare::in_namespace(&mut object, &call.info.namespace)?;
    let target = Target {
        // A name in the path of a POST means nothing.
        name: "",
        ..call.target(options.dry_run())
    };
    let written = in_time(&call.context, api.registry().create(&target, object)).await?;
    codec::object(&form, served, StatusCode::CREATED, &written.bytes)
}
