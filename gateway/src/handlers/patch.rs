//! `PATCH` of an object, its status, or its scale.

use api_types::field;
use api_types::go_text;
use api_types::gvk::GroupKind;
use api_types::media_type;
use api_types::media_type::PatchType;
use api_types::options::{FieldValidation, PatchOptions};
use api_types::status::ApiError;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use serde_json::Value;

use super::call::in_time;
use super::identity::{self, Names};
use super::scale::Scaled;
use super::{Api, Call};
use crate::codec::decode::{self, Clean, Unfit};
use crate::codec::{self, Form};
use crate::patch::{self, Patch};
use crate::registry::{Change, ScaleObject, document};
use crate::request::Warnings;
use crate::strategy::prepare::{self, Part};

/// A patch as the request brought it.
struct Asked {
    form: Form,
    patch: Patch,
    options: PatchOptions,
}

/// What becomes of an object whose version was taken away.
const NO_VERSION: &str = "Object 'apiVersion' is missing in 'object has no apiVersion field'";

/// Patches an object, or the part of it that the subresource is about.
pub(super) async fn patch(
    api: &Api,
    call: &mut Call,
    part: Part,
) -> Result<Response<Body>, ApiError> {
    let asked = Asked::of(call).await?;
    let warnings = &call.context.warnings;
    let candidate = |current: &Value| {
        let patched = asked.patch.apply(current.clone())?;
        let Clean {
            mut object,
            unknown,
        } = decode::clean(&call.served, patched).map_err(|unfit| match unfit {
            Unfit::TooLarge(error) => ApiError::too_large(error),
            unfit => asked.refused(current, &unfit.to_string()),
        })?;
        asked.judge(current, &unknown, warnings)?;
        let version = object.get("apiVersion").and_then(Value::as_str);
        if version.is_none_or(str::is_empty) {
            return Err(ApiError::internal(NO_VERSION));
        }
        prepare::in_namespace(&mut object, &call.info.namespace)?;
        identity::check(Names::of(&object), Names::asked(&call.info))?;
        Ok(object)
    };
    let change = Change {
        part,
        uid: None,
        candidate: &candidate,
    };
    let target = call.target(asked.options.dry_run());
    let written = in_time(&call.context, api.registry().update(&target, &change)).await?;
    codec::object(&asked.form, &call.served, StatusCode::OK, &written.bytes)
}

/// Patches how many replicas an object wants.
pub(super) async fn patch_scale(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let asked = Asked::of(call).await?;
    let scaled = Scaled::of(call)?;
    let warnings = &call.context.warnings;
    let candidate = |current: &Value| {
        let before = document(current, scaled.paths)?;
        let patched = asked.patch.apply(before.clone())?;
        let (wanted, unknown) =
            ScaleObject::read(&patched).map_err(|problem| asked.refused(&before, &problem))?;
        asked.judge(&before, &unknown, warnings)?;
        identity::check(Names::of_scale(&wanted), Names::asked(&call.info))?;
        wanted.apply(current, scaled.paths)
    };
    let change = Change {
        part: Part::Main,
        uid: None,
        candidate: &candidate,
    };
    let target = call.target(asked.options.dry_run());
    let written = in_time(&call.context, api.registry().update(&target, &change)).await?;
    scaled.answer(&asked.form, &written)
}

impl Asked {
    /// Reads head and body, in the order in which kube-apiserver complains.
    async fn of(call: &mut Call) -> Result<Self, ApiError> {
        let kind = media_type::of_patch(call.header(&CONTENT_TYPE))?;
        if kind == PatchType::Apply {
            return Err(patch::unsupported());
        }
        identity::named(&call.info)?;
        let form = Form::of(&call.head)?;
        let body = call.read_body().await?;
        let options = PatchOptions::parse(call.query(), false)?;
        let patch = Patch::parse(kind, &body, options.field_validation())?;
        Ok(Self {
            form,
            patch,
            options,
        })
    }

    /// Refuses fields that are unknown or doubled, or warns of them.
    fn judge(
        &self,
        before: &Value,
        unknown: &[String],
        warnings: &Warnings,
    ) -> Result<(), ApiError> {
        let problems: Vec<String> = self
            .patch
            .problems()
            .iter()
            .chain(unknown)
            .cloned()
            .collect();
        match self.options.field_validation() {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => warnings.extend(problems),
            FieldValidation::Strict if problems.is_empty() => {}
            FieldValidation::Strict => {
                return Err(self.refused(before, &decode::strict_text(&problems)));
            }
        }
        Ok(())
    }

    /// 422 for a patch that leads to something that is no object; repeats that something.
    fn refused(&self, before: &Value, problem: &str) -> ApiError {
        let patched = self.patch.apply(before.clone()).unwrap_or_default();
        let json = String::from_utf8_lossy(&kube_json::to_vec(&patched)).into_owned();
        drop(patched);
        // No more than that is shown, and quoting makes it longer.
        let json = go_text::cut(json, field::MAX_BYTES);
        let path = field::Path::new("patch");
        let error = field::Error::invalid(path, json, problem);
        ApiError::invalid(&GroupKind::new("", ""), "", &[error])
    }
}
