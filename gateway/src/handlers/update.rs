//! `PUT` of an object, its status, or its scale.

use std::sync::Arc;

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
use crate::codec::{Form, decode};
use crate::compute::{Remade, Run};
use crate::registry::{Change, Target};
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
    let validation = options.field_validation();
    let target = call.target(options.dry_run());
    let (weight, about, info) = (
        decode::weight(format, &body),
        target.clone(),
        call.info.clone(),
    );
    let decode = move |run: &Run| {
        let Target {
            served, warnings, ..
        } = &about;
        let mut object = decode::body(served, format, &body, validation, warnings)?;
        run.check()?;
        prepare::in_namespace(&mut object, &info.namespace)?;
        identity::check(Names::of(&object), Names::asked(&info))?;
        about.deduplicate_owners(&mut object, "");
        Ok::<_, ApiError>(object)
    };
    let first = move |run: &Run| {
        let object = decode(run)?;
        let uid = Meta::of(&object).uid().to_owned();
        Ok::<_, ApiError>((Remade::new(run, object, decode), uid))
    };
    let (object, uid) = call.compute(api).run(weight, first).await??;
    let change = Change {
        part,
        uid: (!uid.is_empty()).then(|| uid.into()),
        weight,
        candidate: Arc::new(move |run: &Run, _: &Value| object.take(run)),
    };
    let written = in_time(&call.context, api.registry().update(&target, &change)).await?;
    call.written(api, form, StatusCode::OK, written.bytes).await
}

/// Sets how many replicas an object wants.
pub(super) async fn update_scale(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    identity::named(&call.info)?;
    let form = Form::of(&call.head)?;
    let body = call.read_body().await?;
    let options = UpdateOptions::parse(call.query())?;
    let format = media_type::of_body(call.header(&CONTENT_TYPE))?;
    let scaled = Scaled::of(call)?;
    let (weight, validation) = (decode::weight(format, &body), options.field_validation());
    let warnings = call.context.warnings.clone();
    let read = move |_: &Run| scale::body(format, &body, validation, &warnings);
    let wanted = call.compute(api).run(weight, read).await??;
    identity::check(Names::of_scale(&wanted), Names::asked(&call.info))?;
    let paths = scaled.paths.clone();
    let change = Change {
        part: Part::Main,
        uid: (!wanted.uid.is_empty()).then(|| wanted.uid.as_str().into()),
        weight: 0,
        candidate: Arc::new(move |_: &Run, current: &Value| wanted.apply(current, &paths)),
    };
    let target = call.target(options.dry_run());
    let written = in_time(&call.context, api.registry().update(&target, &change)).await?;
    scaled.answer(&call.compute(api), form, written).await
}
