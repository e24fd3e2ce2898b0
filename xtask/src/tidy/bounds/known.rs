//! Places whose bound is stated here instead of beside the code, because one reason holds for many.

/// Recursion over values: parsers and patches enforce the depth limit.
const VALUES: &str = "kube-json and patches limit the depth of values";
/// Work over schemas and manifests, which clients do not send.
const SCHEMAS: &str = "schemas come from the operator's manifests";
/// A false positive.
const FALSE_POSITIVE: &str = "not recursion: another function of the same name";
/// `contains` of a range, a scope or a short text.
const NO_SEARCH: &str = "not a search of a list";
/// Arrays whose length is in the code.
const FIXED: &str = "a list of fixed length";

/// File, function, and what bounds its work.
pub(super) const PLACES: &[(&str, &str, &str)] = &[
    ("crates/api-types/src/names.rs", "path_segment", NO_SEARCH),
    (
        "crates/api-types/src/options/delete.rs",
        "check",
        FALSE_POSITIVE,
    ),
    (
        "crates/api-types/src/request_info.rs",
        "read_resource",
        "the segments are counted first: at most seven remain",
    ),
    ("crates/crd-schema/src/coerce.rs", "node", VALUES),
    ("crates/crd-schema/src/default.rs", "node", VALUES),
    ("crates/crd-schema/src/embedded.rs", "node", VALUES),
    ("crates/crd-schema/src/jsonpath/eval.rs", "descend", VALUES),
    ("crates/crd-schema/src/list_type.rs", "node", VALUES),
    ("crates/crd-schema/src/nulls.rs", "drop_nulls", VALUES),
    (
        "crates/crd-schema/src/openapi/operations.rs",
        "path_parameters",
        SCHEMAS,
    ),
    (
        "crates/crd-schema/src/openapi/schemas.rs",
        "structural",
        SCHEMAS,
    ),
    ("crates/crd-schema/src/openapi/schemas.rs", "embed", SCHEMAS),
    (
        "crates/crd-schema/src/openapi/swagger.rs",
        "rewrite_operation",
        SCHEMAS,
    ),
    (
        "crates/crd-schema/src/openapi/swagger.rs",
        "simplify",
        SCHEMAS,
    ),
    (
        "crates/crd-schema/src/openapi/swagger.rs",
        "references",
        SCHEMAS,
    ),
    ("crates/crd-schema/src/prune.rs", "node", VALUES),
    ("crates/crd-schema/src/prune.rs", "preserved", VALUES),
    ("crates/crd-schema/src/scale.rs", "write_go_value", VALUES),
    ("crates/crd-schema/src/selectable.rs", "read", SCHEMAS),
    ("crates/crd-schema/src/stored.rs", "selectable_of", SCHEMAS),
    (
        "crates/crd-schema/src/structural/check.rs",
        "formats",
        SCHEMAS,
    ),
    (
        "crates/crd-schema/src/structural/check/lists.rs",
        "check",
        SCHEMAS,
    ),
    (
        "crates/crd-schema/src/structural/check/lists.rs",
        "map",
        SCHEMAS,
    ),
    (
        "crates/crd-schema/src/structural/check/nested.rs",
        "nested",
        SCHEMAS,
    ),
    (
        "crates/crd-schema/src/structural/check/nested.rs",
        "complete",
        SCHEMAS,
    ),
    ("crates/kube-json/src/weight.rs", "add", VALUES),
    ("crates/kube-json/src/write.rs", "write", VALUES),
    ("crates/kube-json/src/write.rs", "write_pretty", VALUES),
    ("crates/kube-json/src/yaml/emit.rs", "spaces", VALUES),
    ("crates/kube-json/src/yaml/emit.rs", "object", VALUES),
    ("crates/watch-cache/src/cursor.rs", "read", NO_SEARCH),
    ("crates/watch-cache/src/interest.rs", "mark", NO_SEARCH),
    (
        "gateway/src/auth/peer.rs",
        "prove",
        "names from the operator's configuration",
    ),
    ("gateway/src/codec/partial.rs", "fields", FIXED),
    ("gateway/src/codec/partial/protobuf.rs", "members", FIXED),
    ("gateway/src/handlers/selection.rs", "of", SCHEMAS),
    (
        "gateway/src/patch/json_patch/tree.rs",
        "depth",
        "each step first consumes a limited budget",
    ),
    ("gateway/src/patch/merge_patch.rs", "merge", VALUES),
    ("gateway/src/scale/object.rs", "unknown_fields", FIXED),
    ("gateway/src/resources/read.rs", "resources", FALSE_POSITIVE),
    ("gateway/src/strategy/validate.rs", "unchecked_rules", FIXED),
];
