//! Mutating webhooks: one after another, and once more those that ask for it after a later change.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/dispatcher.go`, and
//! `k8s.io/apiserver/pkg/admission/reinvocation.go` for the second round.

use std::collections::HashSet;
use std::sync::Arc;

use api_types::status::ApiError;
use crd_schema::default;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::call::{self, Failure, Verdict};
use super::hook::Hook;
use super::matching::{self, Invocation};
use super::metrics::WebhookMetrics;
use super::objects::{self, ReviewObjects};
use crate::admission::Attributes;
use crate::compute::Run;
use crate::kube::informer::{Namespaces, WebhookKind};
use crate::patch::WebhookPatch;
use crate::resources::Served;

const MUTATION: &str = "mutation.webhook.admission.k8s.io/";
/// kube-apiserver logs annotations of this prefix if the level of the event is `Request` or above.
const PATCH: &str = "patch.webhook.admission.k8s.io/";

/// Rounds: the first, and the reinvocation.
const ROUNDS: usize = 2;

/// The dispatch of a write to mutating webhooks.
pub(super) struct Dispatch<'a> {
    pub(super) hooks: &'a [Arc<Hook>],
    pub(super) attributes: &'a Attributes<'a>,
    pub(super) namespaces: &'a Namespaces,
    pub(super) metrics: &'a WebhookMetrics,
}

/// Which webhooks are called again.
#[derive(Default)]
struct Reinvocation<'a> {
    /// Called since the last change, with the policy `IfNeeded`.
    called: HashSet<&'a str>,
    /// To be called in the second round.
    again: HashSet<&'a str>,
    needed: bool,
}

/// The number of a call in the audit annotations.
#[derive(Clone, Copy)]
struct Position {
    round: usize,
    index: usize,
}

impl<'a> Dispatch<'a> {
    /// Calls the webhooks that match; returns whether a patch was applied.
    pub(super) async fn run(&self, objects: &mut ReviewObjects) -> Result<bool, ApiError> {
        let mut reinvocation = Reinvocation::default();
        let mut dirty = false;
        for round in 0..ROUNDS {
            for (index, hook) in self.hooks.iter().enumerate() {
                let (attributes, both) = (self.attributes, objects.both());
                let found = matching::invocation(hook, attributes, self.namespaces, both).await?;
                let Some(invocation) = found else { continue };
                // A webhook is not called for the first time in the second round. bounded: a set.
                if round > 0 && !reinvocation.again.contains(&*hook.uid) {
                    continue;
                }
                let position = Position { round, index };
                let patched = self.call(&invocation, objects, position).await?;
                dirty |= patched.is_some();
                reinvocation.called(hook, patched == Some(true));
            }
            if !reinvocation.needed {
                break;
            }
        }
        Ok(dirty)
    }

    /// One call. None if no patch was applied, else whether it changed the object.
    async fn call(
        &self,
        invocation: &Invocation,
        objects: &mut ReviewObjects,
        position: Position,
    ) -> Result<Option<bool>, ApiError> {
        let hook = &invocation.hook;
        let began = Instant::now();
        let outcome = self.exchange(invocation, objects, position).await;
        let changed = matches!(outcome, Ok(Some(true)));
        let mutated = json!({
            "configuration": &*hook.configuration, "webhook": hook.name, "mutated": changed,
        });
        self.annotate(MUTATION, position, mutated.to_string());
        let operation = self.attributes.operation;
        match call::judge(hook, operation, self.metrics, began, outcome) {
            Ok(patched) => Ok(patched),
            Err(Verdict::Rejected(error)) => Err(error),
            Err(Verdict::Open) => {
                let prefix = call::failed_open_prefix(WebhookKind::Mutating);
                self.annotate(prefix, position, hook.name.clone());
                Ok(None)
            }
        }
    }

    async fn exchange(
        &self,
        invocation: &Invocation,
        objects: &mut ReviewObjects,
        position: Position,
    ) -> Result<Option<bool>, Failure> {
        let encoded = objects.encoded(&invocation.served).await;
        let (attributes, compute) = (self.attributes, objects.compute().clone());
        let name = attributes.name;
        let decision = call::call(invocation, attributes, name, &encoded, &compute).await?;
        if decision.patch.is_empty() {
            return Ok(None);
        }
        let patch = WebhookPatch::parse(&decision.patch).map_err(|error| Failure::Calling {
            reason: format!("received undecodable patch in webhook response: {error}"),
            code: 503,
        })?;
        if patch.is_empty() {
            return Ok(None);
        }
        let hook = &invocation.hook;
        let Some(object) = objects.take_new() else {
            return Err(Failure::Internal(ApiError::internal(format!(
                "admission webhook {:?} attempted to modify the object, which is not supported \
                 for this operation",
                hook.name
            ))));
        };
        if decision.patch_type != "JSONPatch" {
            objects.set_new(Arc::unwrap_or_clone(object));
            return Err(Failure::Calling {
                reason: format!("unsupported patch type {:?}", decision.patch_type),
                code: 400,
            });
        }
        let annotation = json!({
            "configuration": &*hook.configuration, "webhook": hook.name,
            "patch": patch.to_value(), "patchType": "JSONPatch",
        });
        let (served, own) = (invocation.served.clone(), attributes.served.clone());
        let scaled = attributes.subresource == "scale";
        let weight = objects::weight(&object).max(decision.patch.len());
        let work = move |_: &Run| patched(object, patch, (&served, &own), scaled);
        let patched = compute.run_accepted(weight, work).await;
        let (object, changed) =
            patched.map_err(|error| Failure::Internal(ApiError::internal(error)))?;
        objects.set_new(object);
        self.annotate(PATCH, position, annotation.to_string());
        Ok(Some(changed))
    }

    fn annotate(&self, prefix: &str, Position { round, index }: Position, value: String) {
        let key = format!("{prefix}round_{round}_index_{index}");
        self.attributes.annotations.add(key, value);
    }
}

impl<'a> Reinvocation<'a> {
    fn called(&mut self, hook: &'a Hook, changed: bool) {
        if changed {
            self.again.extend(self.called.drain());
            self.needed = true;
        }
        if hook.reinvoked {
            self.called.insert(&hook.uid);
        }
    }
}

/// The object of `own` after a patch of its representation in `served`, with defaults; and whether
/// the patch changed it.
fn patched(
    object: Arc<Value>,
    patch: WebhookPatch,
    (served, own): (&Served, &Served),
    scaled: bool,
) -> Result<(Value, bool), String> {
    let mut before = Arc::unwrap_or_clone(object);
    if !scaled {
        before["apiVersion"] = served.api_version().into();
    }
    let mut after = patch.apply(before.clone())?;
    let kind = after.get("kind").and_then(Value::as_str);
    if kind.is_none_or(str::is_empty) {
        let json = String::from_utf8_lossy(&kube_json::to_vec(&after)).into_owned();
        return Err(format!("Object 'Kind' is missing in '{json}'"));
    }
    let changed = after != before;
    let same_kind = after["apiVersion"] == served.api_version() && after["kind"] == served.kind();
    if !scaled && same_kind {
        let limit = own.resource().body_limit();
        default::apply(&mut after, served.schema(), limit).map_err(|error| error.to_string())?;
        after["apiVersion"] = own.api_version().into();
    }
    Ok((after, changed))
}
