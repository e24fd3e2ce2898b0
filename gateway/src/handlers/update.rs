//! `PUT` of an object, its status, or its scale.

use api_types::media_type;
use api_types::meta::Meta;
use api_types::options::UpdateOptions;
use api_types::status::ApiError;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};

use super::call::{in_time, named};
use super::scale::Scaled;
use super::{Api, Call};
use crate::codec::{Negotiated, decode};
use crate::compute::{Recomputable, Run};
use crate::registry::identity::{self, Names};
use crate::registry::{Replace, ReplaceScale, Target};
use crate::scale;
use crate::strategy::prepare::Part;

/// Replaces an object, or the part that the subresource selects.
pub(super) async fn update(
    api: &Api,
    call: &mut Call,
    part: Part,
) -> Result<Response<Body>, ApiError> {
    named(&call.info)?;
    let negotiated = Negotiated::of(&call.head)?;
    let body = call.read_body().await?;
    let options = UpdateOptions::parse(call.query())?;
    let format = call.format()?;
    let body = call.document(body, call.message())?;
    let validation = options.field_validation();
    let target = call.target(options.dry_run(), options.field_manager());
    let (weight, about) = (decode::weight(format, &body), target.clone());
    let recording = call.context.recording.clone();
    let decode = move |run: &Run| {
        let Target {
            served, warnings, ..
        } = &about;
        let mut object = decode::body(served, format, &body, validation, warnings)?;
        recording.object(&object);
        run.check()?;
        identity::check(Names::of(&object), Names::asked(&about))?;
        about.deduplicate_owners(&mut object, "");
        Ok::<_, ApiError>(object)
    };
    let first = move |run: &Run| {
        let object = decode(run)?;
        let uid = Meta::of(&object).uid().to_owned();
        Ok::<_, ApiError>((Recomputable::new(run, object, decode), uid))
    };
    let (object, uid) = call.compute(api).run(weight, first).await??;
    let plan = Replace {
        part,
        options,
        uid: (!uid.is_empty()).then(|| uid.into()),
        weight,
        object,
    };
    let outcome = in_time(&call.context, api.registry.write(&target, plan)).await?;
    let written = outcome.into_written()?;
    call.written(api, negotiated, StatusCode::OK, written.bytes)
        .await
}

/// Sets the desired replicas of an object.
pub(super) async fn update_scale(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    named(&call.info)?;
    let negotiated = Negotiated::of(&call.head)?;
    let body = call.read_body().await?;
    let options = UpdateOptions::parse(call.query())?;
    let format = media_type::of_body(call.header(&CONTENT_TYPE))?;
    let scaled = Scaled::of(call)?;
    let (weight, validation) = (decode::weight(format, &body), options.field_validation());
    let warnings = call.context.warnings.clone();
    let read = move |_: &Run| scale::from_body(format, &body, validation, &warnings);
    let wanted = call.compute(api).run(weight, read).await??;
    let recording = &call.context.recording;
    if recording.is_on() {
        recording.object(&wanted.to_value());
    }
    let target = call.target(options.dry_run(), options.field_manager());
    identity::check(Names::of_scale(&wanted), Names::asked(&target))?;
    let plan = ReplaceScale {
        wanted,
        paths: scaled.paths.clone(),
        options,
    };
    let outcome = in_time(&call.context, api.registry.write(&target, plan)).await?;
    let written = outcome.into_written()?;
    scaled
        .respond(&call.compute(api), negotiated, written)
        .await
}
