//! Compares with the output of `gnostic-models`, which kube-apiserver uses, for the same documents.
//! Values of any type are YAML there; both write the values in these documents identically.
//!
//! `v2.pb` is `proto.Marshal` of `openapi_v2.ParseDocument` of `v2.json`; version 3 likewise.

use serde_json::Value;

use super::{v2, v3};

fn check(encode: fn(&Value) -> Vec<u8>, document: &str, want: &[u8]) {
    let document = serde_json::from_str(document).expect("a document");
    let encoded = encode(&document);
    let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
    assert_eq!(shown(&encoded), shown(want));
}

#[test]
fn version_2_protobuf_equals_gnostic() {
    check(
        v2,
        include_str!("tests/v2.json"),
        include_bytes!("tests/v2.pb"),
    );
}

#[test]
fn version_3_protobuf_equals_gnostic() {
    check(
        v3,
        include_str!("tests/v3.json"),
        include_bytes!("tests/v3.pb"),
    );
}
