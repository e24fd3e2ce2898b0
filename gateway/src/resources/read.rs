//! Stored values under the current schema: conversion, defaults and repairs at reading, as in
//! kube-apiserver's decoder of custom resources.

use std::borrow::Cow;

use api_types::meta::Meta;
use bytes::Bytes;
use crd_schema::coerce::{self, Mode};
use crd_schema::{Structural, default, nulls, prune};
use serde_json::Value;

use super::{Catalog, Resource, Served};
use crate::store::{DecodeError, Decoded, Decoder, Head, Index, ResourceId};

impl Decoder for Catalog {
    fn resources(&self) -> Vec<ResourceId> {
        self.resources().map(|it| it.id().clone()).collect()
    }

    fn decode(&self, resource: &ResourceId, value: &Bytes) -> Result<Decoded, DecodeError> {
        let found = self.get(resource.group(), resource.resource());
        let resource = found.ok_or_else(|| DecodeError(format!("{resource} is not served")))?;
        let mut object = parse(value)?;
        let changed = resource.refresh(&mut object, value)?;
        Ok(Decoded {
            head: head(&object, resource),
            value: changed.then(|| kube_json::to_vec(&object).into()),
        })
    }
}

impl Served {
    /// Converts a stored object to this version.
    ///
    /// # Errors
    /// If the bytes are not an object.
    pub fn view(&self, stored: &Bytes) -> Result<Bytes, DecodeError> {
        if self.is_storage() {
            return Ok(stored.clone());
        }
        let mut object = parse(stored)?;
        self.show(&mut object)?;
        Ok(kube_json::to_vec(&object).into())
    }

    /// The stored representation of an object of this version, and the fields that the backend may
    /// index. Removes `metadata.resourceVersion` and `metadata.selfLink` from the object.
    ///
    /// # Errors
    /// If the object has no metadata.
    pub fn stored(&self, object: &mut Value) -> Result<(Bytes, Index), DecodeError> {
        crd_schema::stored::strip(object);
        let resource = self.resource();
        let stored = if self.is_storage() {
            Cow::Borrowed(object)
        } else if let Some(view) = resource.view() {
            let mut stored = object.clone();
            view.store(&mut stored);
            Cow::Owned(stored)
        } else {
            let own = resource.api_version_at(resource.storage_index());
            let mut converted = object.clone();
            convert(&mut converted, own, &resource.storage_version().schema)?;
            Cow::Owned(converted)
        };
        let index = Index::of(&stored, resource.selectable());
        Ok((kube_json::to_vec(&stored).into(), index))
    }

    /// Removes unknown fields and nulls from an object that an apply merged, as the conversion to
    /// the storage version does. Call it before [`stored`](Self::stored).
    pub fn prune_merged(&self, object: &mut Value) {
        if self.is_storage() {
            prune::prune(object, self.schema());
            nulls::drop_nulls(object, self.schema());
        }
    }

    /// The object as this version reads it back, if it can differ from what was stored: conversion
    /// to the storage version may lose fields or apply other defaults.
    ///
    /// # Errors
    /// If the bytes are not an object.
    pub fn reread(&self, stored: &Bytes) -> Result<Option<Value>, DecodeError> {
        if self.is_storage() {
            return Ok(None);
        }
        let mut object = parse(stored)?;
        if self.resource().view().is_none() {
            self.resource().refresh(&mut object, stored)?;
        }
        self.show(&mut object)?;
        Ok(Some(object))
    }

    /// Converts an object of the storage version, or of the kind that is shown, to this version.
    fn show(&self, object: &mut Value) -> Result<(), DecodeError> {
        if let Some(view) = self.resource().view() {
            view.show(object);
        }
        convert(object, self.api_version(), self.schema())
    }
}

impl Resource {
    /// Converts a stored object to the current storage version; returns whether anything changed.
    fn refresh(&self, object: &mut Value, stored: &[u8]) -> Result<bool, DecodeError> {
        let storage = self.storage_version();
        let own = self.api_version_at(self.storage_index());
        let written = object.get("apiVersion").and_then(Value::as_str);
        if written != Some(own) {
            // The object may have been written when another version was the storage version.
            let schema = written
                .and_then(|it| it.strip_prefix(&self.definition().group)?.strip_prefix('/'))
                .and_then(|name| self.definition().version(name))
                .map_or(&storage.schema, |version| &version.schema);
            clean(object, schema, Mode::DropInvalid)?;
            self.fill(object, schema);
            convert(object, own, &storage.schema)?;
            repair_generation(object);
            return Ok(true);
        }
        let pruned = !prune::prune(object, &storage.schema).is_empty();
        // Most objects contain no nulls, and searching the bytes is cheaper than a walk of the
        // tree.
        if memchr::memmem::find(stored, b"null").is_some() {
            nulls::drop_nulls(object, &storage.schema);
        }
        let metadata = object.get("metadata").cloned();
        coerce(object, &storage.schema, Mode::DropInvalid)?;
        let mut changed = self.fill(object, &storage.schema) || pruned;
        changed |= metadata.as_ref() != object.get("metadata");
        changed |= repair_generation(object);
        Ok(changed || memchr::memmem::find(stored, b"null").is_some())
    }

    /// Applies the defaults of the current schema to a stored object; returns whether anything
    /// changed. Defaults that would exceed the size limit are omitted, because a stored object must
    /// stay readable.
    fn fill(&self, object: &mut Value, schema: &Structural) -> bool {
        default::apply(object, schema, self.body_limit()).unwrap_or(true)
    }
}

/// Converts to another version: changes `apiVersion`, and prunes fields that its schema does not
/// have.
fn convert(object: &mut Value, api_version: &str, schema: &Structural) -> Result<(), DecodeError> {
    object["apiVersion"] = api_version.into();
    clean(object, schema, Mode::DropInvalid)
}

fn clean(object: &mut Value, schema: &Structural, mode: Mode) -> Result<(), DecodeError> {
    prune::prune(object, schema);
    nulls::drop_nulls(object, schema);
    coerce(object, schema, mode)
}

fn coerce(object: &mut Value, schema: &Structural, mode: Mode) -> Result<(), DecodeError> {
    let coerced = coerce::metadata(object, schema, mode);
    coerced.map_err(|error| DecodeError(error.to_string()))?;
    Ok(())
}

/// Objects of early Kubernetes versions have no generation.
fn repair_generation(object: &mut Value) -> bool {
    if Meta::of(object).generation() != 0 {
        return false;
    }
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    metadata.is_some_and(|it| it.insert("generation".to_owned(), 1.into()).is_none())
}

fn parse(value: &[u8]) -> Result<Value, DecodeError> {
    let object = kube_json::reparse(value).map_err(|error| DecodeError(error.to_string()))?;
    if object.get("metadata").is_some_and(Value::is_object) {
        Ok(object)
    } else {
        Err(DecodeError("not a JSON object with metadata".to_owned()))
    }
}

/// The fields that selectors read.
fn head(object: &Value, resource: &Resource) -> Head {
    let meta = Meta::of(object);
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    Head {
        uid: meta.uid().to_owned(),
        labels: meta.labels().map(owned).collect(),
        fields: crd_schema::stored::fields(object, resource.selectable()),
        deleting: meta.is_deleting(),
    }
}
