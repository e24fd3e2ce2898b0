//! The schema of `metadata`, from the OpenAPI definitions of Kubernetes.

use serde_json::json;

use crate::schema::{Additional, Kind, ListKind, MapKind, Structural};

const TIME: &str = "date-time";

pub(super) fn metadata() -> Structural {
    let text = || Structural::of(Kind::String);
    let number = || Structural::of(Kind::Integer);
    let time = || Structural {
        format: TIME.to_owned(),
        ..Structural::of(Kind::String)
    };
    let map = || Structural {
        additional: Additional::Schema(Box::new(text())),
        ..Structural::of(Kind::Object)
    };
    object([
        ("name", text()),
        ("generateName", text()),
        ("namespace", text()),
        ("selfLink", text()),
        ("uid", text()),
        ("resourceVersion", text()),
        ("generation", number()),
        ("creationTimestamp", time()),
        ("deletionTimestamp", time()),
        ("deletionGracePeriodSeconds", number()),
        ("labels", map()),
        ("annotations", map()),
        (
            "ownerReferences",
            list(ListKind::Map(vec!["uid".to_owned()]), owner_reference()),
        ),
        ("finalizers", list(ListKind::Set, text())),
        (
            "managedFields",
            list(ListKind::Atomic, managed_fields_entry()),
        ),
    ])
}

fn owner_reference() -> Structural {
    let required = || Structural {
        default: Some(json!("")),
        ..Structural::of(Kind::String)
    };
    let flag = || Structural::of(Kind::Boolean);
    Structural {
        map: Some(MapKind::Atomic),
        ..object([
            ("apiVersion", required()),
            ("kind", required()),
            ("name", required()),
            ("uid", required()),
            ("controller", flag()),
            ("blockOwnerDeletion", flag()),
        ])
    }
}

fn managed_fields_entry() -> Structural {
    let text = || Structural::of(Kind::String);
    let time = Structural {
        format: TIME.to_owned(),
        ..text()
    };
    object([
        ("manager", text()),
        ("operation", text()),
        ("apiVersion", text()),
        ("time", time),
        ("fieldsType", text()),
        ("fieldsV1", Structural::of(Kind::Object)),
        ("subresource", text()),
    ])
}

fn object<const N: usize>(properties: [(&str, Structural); N]) -> Structural {
    let properties = properties
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema));
    Structural {
        properties: properties.collect(),
        ..Structural::of(Kind::Object)
    }
}

fn list(kind: ListKind, items: Structural) -> Structural {
    Structural {
        list: Some(kind),
        items: Some(Box::new(items)),
        ..Structural::of(Kind::Array)
    }
}
