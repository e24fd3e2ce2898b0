//! The compiled form of an `openAPIV3Schema`.

mod check;
mod parse;
mod permitted;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::regexp::Pattern;

pub use crate::kind::Kind;
pub(crate) use check::check;
pub(crate) use parse::parse;
pub use permitted::Permitted;

/// One node of a schema, with its subschemas.
///
/// The same type represents the schemas inside `allOf`, `anyOf`, `oneOf` and `not`, where the
/// structural rules leave the structure empty and only [`Rules`] apply.
#[derive(Clone, Debug, Default)]
pub struct Structural {
    /// The JSON type, if the schema names one.
    pub kind: Option<Kind>,
    /// Human-readable text.
    pub title: String,
    /// Human-readable text.
    pub description: String,
    /// Whether null is permitted.
    pub nullable: bool,
    /// Value of a missing field.
    pub default: Option<Value>,
    /// Schemas of named fields.
    pub properties: BTreeMap<String, Self>,
    /// Schema of the fields that are not named.
    pub additional_properties: Option<Additional>,
    /// Schema of a list's items.
    pub items: Option<Box<Self>>,
    /// Kubernetes' own keywords.
    pub extensions: Extensions,
    /// Validation rules.
    pub rules: Rules,
    /// `example`, for documentation.
    pub example: Option<Value>,
    /// `externalDocs`, for documentation.
    pub external_docs: Option<Value>,
    /// Features of the subschemas, so that traversals can skip them.
    pub(crate) below: Below,
}

/// `additionalProperties`.
#[derive(Clone, Debug)]
pub enum Additional {
    /// `true`: any field is permitted and kept. `false` is rejected at load outside of nested
    /// schemas.
    Any(bool),
    /// Values have this schema.
    Schema(Box<Structural>),
}

/// Keywords with the prefix `x-kubernetes-`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extensions {
    /// Fields without a schema are kept.
    pub preserve_unknown_fields: bool,
    /// The object has its own `apiVersion`, `kind` and `metadata`.
    pub embedded_resource: bool,
    /// An integer or a string.
    pub int_or_string: bool,
    /// Merge strategy of a list, and whether its items are unique.
    pub list_type: Option<ListType>,
    /// The fields that identify an item of a map list.
    pub list_map_keys: Vec<String>,
    /// Merge strategy of a map.
    pub map_type: Option<MapType>,
    /// CEL rules as written; not evaluated.
    pub validations: Vec<Value>,
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// Replaced as a whole.
    Atomic,
    /// Unique values.
    Set,
    /// Unique by key.
    Map,
}

/// `x-kubernetes-map-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    /// Replaced as a whole.
    Atomic,
    /// Merged by field.
    Granular,
}

/// Validation rules of a value.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// As written, whether recognized or not.
    pub format: String,
    /// Upper bound.
    pub maximum: Option<f64>,
    /// Whether the upper bound itself is excluded.
    pub exclusive_maximum: bool,
    /// Lower bound.
    pub minimum: Option<f64>,
    /// Whether the lower bound itself is excluded.
    pub exclusive_minimum: bool,
    /// The value must be a multiple of this number.
    pub multiple_of: Option<f64>,
    /// Maximum number of characters.
    pub max_length: Option<i64>,
    /// Minimum number of characters.
    pub min_length: Option<i64>,
    /// Compiled when the schema is loaded.
    pub pattern: Option<Pattern>,
    /// Maximum number of items.
    pub max_items: Option<i64>,
    /// Minimum number of items.
    pub min_items: Option<i64>,
    /// Items must differ; permitted only inside nested schemas.
    pub unique_items: bool,
    /// Maximum number of fields.
    pub max_properties: Option<i64>,
    /// Minimum number of fields.
    pub min_properties: Option<i64>,
    /// Required fields.
    pub required: Vec<String>,
    /// The permitted values; empty for any.
    pub values: Permitted,
    /// All must match.
    pub all_of: Vec<Structural>,
    /// At least one must match.
    pub any_of: Vec<Structural>,
    /// Exactly one must match.
    pub one_of: Vec<Structural>,
    /// Must not match.
    pub not: Option<Box<Structural>>,
}

/// Features that occur in a schema, so that traversals can skip the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Below {
    pub(crate) default: bool,
    pub(crate) embedded: bool,
    pub(crate) unique_list: bool,
    /// Size that the default of this node adds to an object, in bytes, without its name.
    pub(crate) default_bytes: usize,
    /// Memory of the default of this node, in bytes, without its slot in a container.
    pub(crate) default_memory: usize,
}

// === impl Structural ===

impl Structural {
    /// The schema of one field's value.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or_else(|| self.additional())
    }

    /// The schema of the fields that are not named.
    #[must_use]
    pub fn additional(&self) -> Option<&Self> {
        match &self.additional_properties {
            Some(Additional::Schema(schema)) => Some(schema),
            Some(Additional::Any(_)) | None => None,
        }
    }

    /// Direct subschemas of the value's structure.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Self> {
        let items = self.items.as_deref().into_iter();
        self.properties
            .values()
            .chain(self.additional())
            .chain(items)
    }

    /// Computes [`Below`]; the subschemas must be finished.
    pub(crate) fn finish(&mut self) {
        // Quotes, colon and comma, and 16 bytes for the memory of a small value.
        let size = |default: &Value| kube_json::to_vec(default).len() + 4 + 16;
        let memory = |default: &Value| kube_json::Weight::of(default).memory;
        let mut below = Below {
            default: self.default.is_some(),
            default_bytes: self.default.as_ref().map_or(0, size),
            default_memory: self.default.as_ref().map_or(0, memory),
            embedded: self.extensions.embedded_resource,
            unique_list: matches!(
                self.extensions.list_type,
                Some(ListType::Set | ListType::Map)
            ),
        };
        for child in self.children() {
            below.default |= child.below.default;
            below.embedded |= child.below.embedded;
            below.unique_list |= child.below.unique_list;
        }
        self.below = below;
    }
}

// === impl Rules ===

impl Rules {
    /// Whether there is any rule.
    pub(crate) fn any(&self) -> bool {
        let numbers = [self.maximum, self.minimum, self.multiple_of];
        let counts = [
            self.max_length,
            self.min_length,
            self.max_items,
            self.min_items,
            self.max_properties,
            self.min_properties,
        ];
        numbers.iter().any(Option::is_some)
            || counts.iter().any(Option::is_some)
            || !self.format.is_empty()
            || self.pattern.is_some()
            || self.unique_items
            || !self.required.is_empty()
            || !self.values.is_empty()
            || !self.all_of.is_empty()
            || !self.any_of.is_empty()
            || !self.one_of.is_empty()
            || self.not.is_some()
    }
}

// === impl Kind ===

impl Kind {
    /// All types, in the order in which messages list them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Array,
        Self::Boolean,
        Self::Integer,
        Self::Number,
        Self::Object,
        Self::String,
    ];

    /// The name in a schema.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
            Self::String => "string",
        }
    }
}
