//! `PUT` of an object, its status, or its scale.

use api_types::media_type;
use api_types::meta::Meta;
use api_types::options::UpdateOptions;
use api_types::status::ApiError;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use serde_json::Value;

use super::call::in_time;
use super::identity::{self, Names};
use super::scale::{self, Scaled};
use super::{Api, Call};
use crate::codec::{self, Form, decode};
use crate::registry::Change;
use crate::strategy::prepare::{self, Part};

/// Replaces an object, or the part of it that the subresource is about.
pub(super) async fn update(
    api: &Api,
    call: &mut Call,
    part: Part,
) -> Result<Response<Body>, ApiError> {
    identity::named(&call.info)?;
    let form = Form::of(&call.head)?;
    let body = call.read_body().await?;
    let options = UpdateOptions::parse(call.query())?;
    let format = media_type::of_body(call.header(&CONTENT_TYPE))?;
    let (served, warnings) = (&call.served, &call.context.warnings);
    let validation = options.field_validation();
    let mut object = decode::body(served, format, &body, validation, warnings)?;
    prepare::in_namespace(&mut object, &call.info.namespace)?;
    identity::check(Names::of(&object), Names::asked(&call.info))?;
    let target = call.target(options.dry_run());
    api.registry().deduplicate_owners(&target, &mut object);
    let uid = Meta::of(&object).uid();
    let change = Change {
        part,
        uid: (!uid.is_empty()).then_some(uid),
        candidate: &|_: &Value| Ok(object.clone()),
    };
    let written = in_time(&call.context, api.registry().update(&target, &change)).await?;
    codec::object(&form, served, StatusCode::OK, &written.bytes)
}

/// Sets how many replicas an object wants.
pub(super) async fn update_scale(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    identity::named(&call.info)?;
    let form = Form::of(&call.head)?;
    let body = call.read_body().await?;
    let options = UpdateOptions::parse(call.query())?;
    let format = media_type::of_body(call.header(&CONTENT_TYPE))?;
    let scaled = Scaled::of(call)?;
    let wanted = scale::body(
        format,
        &body,
        options.field_validation(),
        &call.context.warnings,
    )?;
    identity::check(Names::of_scale(&wanted), Names::asked(&call.info))?;
    let change = Change {
        part: Part::Main,
        uid: (!wanted.uid.is_empty()).then_some(&*wanted.uid),
        candidate: &|current: &Value| wanted.apply(current, scaled.paths),
    };
    let target = call.target(options.dry_run());
    let written = in_time(&call.context, api.registry().update(&target, &change)).await?;
    scaled.answer(&form, &written)
}
