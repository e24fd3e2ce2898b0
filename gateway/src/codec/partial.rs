//! `PartialObjectMetadata`: the metadata of an object in the field order of Go's struct.
//!
//! Produced without parsing: the stored values are copied in another order.

pub(super) mod protobuf;

use api_types::media_type::MetaVersion;
use kube_json::{Items, Members, ObjectWriter};

/// Encoding of an empty field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// The field is omitted (`omitempty`).
    Omitted,
    /// The field is written: it is a pointer or has no `omitempty`.
    Kept,
}

use Empty::{Kept, Omitted};

/// `ObjectMeta` of `meta/v1`.
const OBJECT_META: [(&str, Empty); 15] = [
    ("name", Omitted),
    ("generateName", Omitted),
    ("namespace", Omitted),
    ("selfLink", Omitted),
    ("uid", Omitted),
    ("resourceVersion", Omitted),
    ("generation", Omitted),
    ("creationTimestamp", Omitted),
    ("deletionTimestamp", Omitted),
    ("deletionGracePeriodSeconds", Kept),
    ("labels", Omitted),
    ("annotations", Omitted),
    ("ownerReferences", Omitted),
    ("finalizers", Omitted),
    ("managedFields", Omitted),
];

/// `OwnerReference` of `meta/v1`.
const OWNER_REFERENCE: [(&str, Empty); 6] = [
    ("apiVersion", Kept),
    ("kind", Kept),
    ("name", Kept),
    ("uid", Kept),
    ("controller", Kept),
    ("blockOwnerDeletion", Kept),
];

/// `ManagedFieldsEntry` of `meta/v1`.
const MANAGED_FIELDS: [(&str, Empty); 7] = [
    ("manager", Omitted),
    ("operation", Omitted),
    ("apiVersion", Omitted),
    ("time", Omitted),
    ("fieldsType", Omitted),
    ("fieldsV1", Kept),
    ("subresource", Omitted),
];

/// Appends the metadata of an object, given as JSON.
pub(super) fn write(version: MetaVersion, object: &[u8], out: &mut Vec<u8>) {
    let mut partial = ObjectWriter::begin(out);
    partial.string("kind", "PartialObjectMetadata");
    partial.string("apiVersion", version.api_version());
    let metadata = Members::of(object).find(b"metadata").unwrap_or_default();
    partial.with("metadata", |out| fields(metadata, &OBJECT_META, out));
    partial.end();
}

/// Appends the fields of a struct, in its order.
fn fields<const N: usize>(object: &[u8], order: &[(&str, Empty); N], out: &mut Vec<u8>) {
    let mut values: [Option<&[u8]>; N] = [None; N];
    for (key, value) in Members::of(object) {
        if let Some(at) = order.iter().position(|(name, _)| name.as_bytes() == key) {
            values[at] = Some(value);
        }
    }
    let mut object = ObjectWriter::begin(out);
    for ((name, empty), value) in order.iter().zip(values) {
        let Some(value) = value.filter(|value| *value != b"null") else {
            continue;
        };
        if *empty == Omitted && matches!(value, b"\"\"" | b"0" | b"{}" | b"[]") {
            continue;
        }
        match *name {
            "ownerReferences" => object.with(name, |out| items(value, &OWNER_REFERENCE, out)),
            "managedFields" => object.with(name, |out| items(value, &MANAGED_FIELDS, out)),
            _ => object.raw(name, value),
        }
    }
    object.end();
}

fn items<const N: usize>(list: &[u8], order: &[(&str, Empty); N], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, item) in Items::of(list).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        fields(item, order, out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use api_types::media_type::MetaVersion;

    use super::write;

    fn check(metadata: &str, want: &str) {
        let object =
            format!(r#"{{"apiVersion":"g/v1","kind":"K","metadata":{metadata},"spec":1}}"#);
        let mut out = Vec::new();
        write(MetaVersion::V1, object.as_bytes(), &mut out);
        let head = r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#;
        assert_eq!(String::from_utf8_lossy(&out), format!("{head}{want}}}"));
    }

    #[test]
    fn fields_follow_struct_order() {
        check("{}", "{}");
        check(
            r#"{"annotations":{"b":"\"}","a":"1"},"creationTimestamp":"t","deletionGracePeriodSeconds":0,"finalizers":["f"],"generation":2,"labels":{"x":"y"},"name":"n","namespace":"ns","resourceVersion":"7","uid":"u"}"#,
            r#"{"name":"n","namespace":"ns","uid":"u","resourceVersion":"7","generation":2,"creationTimestamp":"t","deletionGracePeriodSeconds":0,"labels":{"x":"y"},"annotations":{"b":"\"}","a":"1"},"finalizers":["f"]}"#,
        );
        check(
            r#"{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":false,"kind":"Pod","name":"p","uid":"u"}]}"#,
            r#"{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u","controller":false,"blockOwnerDeletion":true}]}"#,
        );
        check(
            r#"{"managedFields":[{"apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{},"manager":"m","operation":"Update","time":"t"}]}"#,
            r#"{"managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","time":"t","fieldsType":"FieldsV1","fieldsV1":{}}]}"#,
        );
    }

    #[test]
    fn empty_fields_are_omitted() {
        check(
            r#"{"creationTimestamp":null,"finalizers":[],"generation":0,"labels":{},"name":"","unknown":1}"#,
            "{}",
        );
    }
}
