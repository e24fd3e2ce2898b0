//! `PATCH` of an object, its status, or its scale.

use std::sync::Arc;

use api_types::field;
use api_types::go_text;
use api_types::gvk::GroupKind;
use api_types::media_type;
use api_types::media_type::PatchType;
use api_types::options::{FieldValidation, PatchOptions};
use api_types::request_info::RequestInfo;
use api_types::status::ApiError;
use axum::body::Body;
use crd_schema::ScalePaths;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use serde_json::Value;

use super::call::in_time;
use super::identity::{self, Names};
use super::scale::Scaled;
use super::{Api, Call};
use crate::codec::Form;
use crate::codec::decode::{self, Clean, Unfit};
use crate::compute::{Remade, Run};
use crate::patch::{self, Patch};
use crate::registry::{Change, ScaleObject, Target, document};
use crate::request::Warnings;
use crate::strategy::prepare::{self, Part};

/// A patch as the request brought it.
struct Asked {
    form: Form,
    patch: Remade<Patch, ApiError>,
    options: PatchOptions,
    /// What the body weighs.
    weight: usize,
}

/// What becomes of an object whose version was taken away.
const NO_VERSION: &str = "Object 'apiVersion' is missing in 'object has no apiVersion field'";

/// Patches an object, or the part of it that the subresource is about.
pub(super) async fn patch(
    api: &Api,
    call: &mut Call,
    part: Part,
) -> Result<Response<Body>, ApiError> {
    let asked = Arc::new(Asked::of(api, call).await?);
    let target = call.target(asked.options.dry_run());
    let (about, info) = (target.clone(), call.info.clone());
    let change = Change {
        part,
        uid: None,
        weight: asked.weight,
        candidate: {
            let asked = Arc::clone(&asked);
            Arc::new(move |run: &Run, current: &Value| asked.candidate(run, &about, &info, current))
        },
    };
    let written = in_time(&call.context, api.registry().update(&target, &change)).await?;
    let form = asked.form.clone();
    call.written(api, form, StatusCode::OK, written.bytes).await
}

/// Patches how many replicas an object wants.
pub(super) async fn patch_scale(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let asked = Arc::new(Asked::of(api, call).await?);
    let scaled = Scaled::of(call)?;
    let target = call.target(asked.options.dry_run());
    let (about, info, paths) = (target.clone(), call.info.clone(), scaled.paths.clone());
    let change = Change {
        part: Part::Main,
        uid: None,
        weight: asked.weight,
        candidate: {
            let asked = Arc::clone(&asked);
            Arc::new(move |run: &Run, current: &Value| {
                asked.scaled(run, &about, &info, &paths, current)
            })
        },
    };
    let written = in_time(&call.context, api.registry().update(&target, &change)).await?;
    let form = asked.form.clone();
    scaled.answer(&call.compute(api), form, written).await
}

impl Asked {
    /// Reads head and body, in the order in which kube-apiserver complains.
    async fn of(api: &Api, call: &mut Call) -> Result<Self, ApiError> {
        let kind = media_type::of_patch(call.header(&CONTENT_TYPE))?;
        if kind == PatchType::Apply {
            return Err(patch::unsupported());
        }
        identity::named(&call.info)?;
        let form = Form::of(&call.head)?;
        let body = call.read_body().await?;
        let options = PatchOptions::parse(call.query(), false)?;
        let (weight, validation) = (patch::weight(kind, &body), options.field_validation());
        let parse = move |_: &Run| Patch::parse(kind, &body, validation);
        let first = move |run: &Run| {
            let patch = parse(run)?;
            Ok::<_, ApiError>(Remade::new(run, patch, parse))
        };
        let patch = call.compute(api).run(weight, first).await??;
        Ok(Self {
            form,
            patch,
            options,
            weight,
        })
    }

    /// What becomes of an object.
    fn candidate(
        &self,
        run: &Run,
        target: &Target,
        info: &RequestInfo,
        current: &Value,
    ) -> Result<Value, ApiError> {
        let patch = self.patch.take(run)?;
        let mut problems = patch.problems().to_vec();
        let patched = patch.apply(current.clone())?;
        run.check()?;
        let Clean {
            mut object,
            unknown,
        } = decode::clean(&target.served, patched).map_err(|unfit| match unfit {
            Unfit::TooLarge(error) => ApiError::too_large(error),
            unfit => self.refused(run, current, &unfit.to_string()),
        })?;
        problems.extend(unknown);
        self.judge(run, current, problems, &target.warnings)?;
        let version = object.get("apiVersion").and_then(Value::as_str);
        if version.is_none_or(str::is_empty) {
            return Err(ApiError::internal(NO_VERSION));
        }
        prepare::in_namespace(&mut object, &info.namespace)?;
        identity::check(Names::of(&object), Names::asked(info))?;
        Ok(object)
    }

    /// The same for a patch of its scale.
    fn scaled(
        &self,
        run: &Run,
        target: &Target,
        info: &RequestInfo,
        paths: &ScalePaths,
        current: &Value,
    ) -> Result<Value, ApiError> {
        let before = document(current, paths)?;
        let patch = self.patch.take(run)?;
        let mut problems = patch.problems().to_vec();
        let patched = patch.apply(before.clone())?;
        let (wanted, unknown) =
            ScaleObject::read(&patched).map_err(|problem| self.refused(run, &before, &problem))?;
        problems.extend(unknown);
        self.judge(run, &before, problems, &target.warnings)?;
        identity::check(Names::of_scale(&wanted), Names::asked(info))?;
        wanted.apply(current, paths)
    }

    /// Refuses fields that are unknown or doubled, or warns of them.
    fn judge(
        &self,
        run: &Run,
        before: &Value,
        problems: Vec<String>,
        warnings: &Warnings,
    ) -> Result<(), ApiError> {
        match self.options.field_validation() {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => warnings.extend(problems),
            FieldValidation::Strict if problems.is_empty() => {}
            FieldValidation::Strict => {
                return Err(self.refused(run, before, &decode::strict_text(&problems)));
            }
        }
        Ok(())
    }

    /// 422 for a patch that leads to something that is no object; repeats that something.
    fn refused(&self, run: &Run, before: &Value, problem: &str) -> ApiError {
        let patch = self.patch.take(run);
        let patched = patch.and_then(|patch| patch.apply(before.clone()));
        let patched = patched.unwrap_or_default();
        let json = String::from_utf8_lossy(&kube_json::to_vec(&patched)).into_owned();
        drop(patched);
        // No more than that is shown, and quoting makes it longer.
        let json = go_text::cut(json, field::MAX_BYTES);
        let path = field::Path::new("patch");
        let error = field::Error::invalid(path, json, problem);
        ApiError::invalid(&GroupKind::new("", ""), "", &[error])
    }
}
