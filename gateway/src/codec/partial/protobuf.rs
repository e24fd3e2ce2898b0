//! `PartialObjectMetadata` as protobuf messages of `meta/v1`.
//!
//! Go's encoder omits empty pointers, lists and maps, and writes every other field.

use std::borrow::Cow;

use api_types::media_type::MetaVersion;
use api_types::protobuf::{self, Sink, Writer};
use jiff::Timestamp;
use kube_json::{Items, Members};

/// Appends the metadata of an object, given as JSON, as a document.
pub(in crate::codec) fn write(version: MetaVersion, object: &[u8], out: &mut Vec<u8>) {
    let kind = "PartialObjectMetadata";
    protobuf::document(version.api_version(), kind, out, |to| message(object, to));
}

/// Writes the fields of `PartialObjectMetadata`, which are the same in both versions.
pub(in crate::codec) fn message<S: Sink>(object: &[u8], to: &mut Writer<'_, S>) {
    let metadata = Members::of(object).within(b"metadata");
    to.message(1, |to| object_meta(metadata, to));
}

fn object_meta<S: Sink>(object: Members<'_>, to: &mut Writer<'_, S>) {
    let keys = [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "managedFields",
    ];
    let [
        name,
        generate_name,
        namespace,
        self_link,
        uid,
        resource_version,
        generation,
        created,
        deleted,
        grace,
        labels,
        annotations,
        owners,
        finalizers,
        managers,
    ] = members(object, keys);
    string(1, name, to);
    string(2, generate_name, to);
    string(3, namespace, to);
    string(4, self_link, to);
    string(5, uid, to);
    string(6, resource_version, to);
    to.integer(7, integer(generation).unwrap_or_default());
    time(8, created, to);
    if deleted.is_some() {
        time(9, deleted, to);
    }
    if let Some(grace) = integer(grace) {
        to.integer(10, grace);
    }
    map(11, labels, to);
    map(12, annotations, to);
    for owner in Items::of(owners.unwrap_or_default()) {
        to.message(13, |to| owner_reference(Members::of(owner), to));
    }
    for finalizer in Items::of(finalizers.unwrap_or_default()) {
        string(14, Some(finalizer), to);
    }
    for entry in Items::of(managers.unwrap_or_default()) {
        to.message(17, |to| managed_fields(Members::of(entry), to));
    }
}

fn owner_reference<S: Sink>(object: Members<'_>, to: &mut Writer<'_, S>) {
    let keys = [
        "kind",
        "name",
        "uid",
        "apiVersion",
        "controller",
        "blockOwnerDeletion",
    ];
    let [kind, name, uid, api_version, controller, blocks] = members(object, keys);
    string(1, kind, to);
    string(3, name, to);
    string(4, uid, to);
    string(5, api_version, to);
    for (field, flag) in [(6, controller), (7, blocks)] {
        if let Some(flag) = flag {
            to.boolean(field, flag == b"true");
        }
    }
}

fn managed_fields<S: Sink>(object: Members<'_>, to: &mut Writer<'_, S>) {
    let keys = [
        "manager",
        "operation",
        "apiVersion",
        "time",
        "fieldsType",
        "fieldsV1",
        "subresource",
    ];
    let [
        manager,
        operation,
        api_version,
        at,
        fields_type,
        fields,
        subresource,
    ] = members(object, keys);
    string(1, manager, to);
    string(2, operation, to);
    string(3, api_version, to);
    if at.is_some() {
        time(4, at, to);
    }
    string(6, fields_type, to);
    if let Some(fields) = fields {
        to.message(7, |to| to.bytes(1, fields));
    }
    string(8, subresource, to);
}

/// The values of these keys; none for null.
fn members<'a, const N: usize>(object: Members<'a>, keys: [&str; N]) -> [Option<&'a [u8]>; N] {
    let mut values = [None; N];
    for (key, value) in object {
        if let Some(at) = keys.iter().position(|name| name.as_bytes() == key) {
            values[at] = Some(value).filter(|value| *value != b"null");
        }
    }
    values
}

/// Writes a JSON string, given with its quotes.
fn string<S: Sink>(field: u32, quoted: Option<&[u8]>, to: &mut Writer<'_, S>) {
    let quoted = quoted.unwrap_or_default();
    let inner = quoted.get(1..quoted.len().saturating_sub(1));
    to.bytes(field, &unescaped(inner.unwrap_or_default()));
}

/// The content of a JSON string without escapes.
fn unescaped(inner: &[u8]) -> Cow<'_, [u8]> {
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let quoted = [b"\"", inner, b"\""].concat();
    let text = serde_json::from_slice::<String>(&quoted);
    text.map_or(Cow::Borrowed(inner), |text| Cow::Owned(text.into_bytes()))
}

fn map<S: Sink>(field: u32, object: Option<&[u8]>, to: &mut Writer<'_, S>) {
    for (key, value) in Members::of(object.unwrap_or_default()) {
        to.message(field, |to| {
            to.bytes(1, &unescaped(key));
            string(2, Some(value), to);
        });
    }
}

fn integer(text: Option<&[u8]>) -> Option<i64> {
    std::str::from_utf8(text?).ok()?.parse().ok()
}

/// Writes a time in whole seconds; an empty message if there is none.
fn time<S: Sink>(field: u32, quoted: Option<&[u8]>, to: &mut Writer<'_, S>) {
    let text = quoted.and_then(|quoted| std::str::from_utf8(quoted).ok());
    let time = text.and_then(|text| text.trim_matches('"').parse::<Timestamp>().ok());
    to.message(field, |to| {
        if let Some(time) = time {
            to.integer(1, time.as_second());
            to.integer(2, 0);
        }
    });
}

#[cfg(test)]
mod tests;
