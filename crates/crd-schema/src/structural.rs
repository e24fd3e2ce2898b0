//! The compiled form of an `openAPIV3Schema`.

mod check;
mod parse;
mod permitted;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::regexp::Pattern;

pub(crate) use check::check;
pub(crate) use parse::parse;
pub use permitted::Permitted;

/// One node of a schema, with everything below it.
///
/// The same type describes the schemas inside `allOf`, `anyOf`, `oneOf` and `not`, where the
/// structural rules leave the structure empty and only [`Rules`] count.
#[derive(Clone, Debug, Default)]
pub struct Structural {
    /// The JSON type, if one is named.
    pub kind: Option<Kind>,
    /// Text for people.
    pub title: String,
    /// Text for people.
    pub description: String,
    /// Whether null is a value.
    pub nullable: bool,
    /// What a missing value becomes.
    pub default: Option<Value>,
    /// Schemas of named fields.
    pub properties: BTreeMap<String, Self>,
    /// Schema of the fields that are not named.
    pub additional_properties: Option<Additional>,
    /// Schema of a list's items.
    pub items: Option<Box<Self>>,
    /// Kubernetes' own keywords.
    pub extensions: Extensions,
    /// What a value must satisfy.
    pub rules: Rules,
    /// `example`, for documentation.
    pub example: Option<Value>,
    /// `externalDocs`, for documentation.
    pub external_docs: Option<Value>,
    /// What walks need not look for.
    pub(crate) below: Below,
}

/// The JSON types of schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A list.
    Array,
    /// True or false.
    Boolean,
    /// A number without fraction.
    Integer,
    /// Any number.
    Number,
    /// A map.
    Object,
    /// A text.
    String,
}

/// `additionalProperties`.
#[derive(Clone, Debug)]
pub enum Additional {
    /// `true`: anything goes and is kept. `false` is refused at load outside of nested schemas.
    Any(bool),
    /// Values have this schema.
    Schema(Box<Structural>),
}

/// Keywords that begin with `x-kubernetes-`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extensions {
    /// Fields without a schema are kept.
    pub preserve_unknown_fields: bool,
    /// The object has `apiVersion`, `kind` and `metadata` of its own.
    pub embedded_resource: bool,
    /// An integer or a string.
    pub int_or_string: bool,
    /// How a list merges and whether its items are unique.
    pub list_type: Option<ListType>,
    /// The fields that identify an item of a map list.
    pub list_map_keys: Vec<String>,
    /// Whether a map merges by field.
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

/// What a value must satisfy.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// As written, whether known or not.
    pub format: String,
    /// Upper bound, and whether it is itself excluded.
    pub maximum: Option<f64>,
    /// See [`Rules::maximum`].
    pub exclusive_maximum: bool,
    /// Lower bound.
    pub minimum: Option<f64>,
    /// Whether the lower bound is itself excluded.
    pub exclusive_minimum: bool,
    /// The number divides the value.
    pub multiple_of: Option<f64>,
    /// Most characters.
    pub max_length: Option<i64>,
    /// Fewest characters.
    pub min_length: Option<i64>,
    /// Compiled when the schema is loaded.
    pub pattern: Option<Pattern>,
    /// Most items.
    pub max_items: Option<i64>,
    /// Fewest items.
    pub min_items: Option<i64>,
    /// Items differ; only inside nested schemas.
    pub unique_items: bool,
    /// Most fields.
    pub max_properties: Option<i64>,
    /// Fewest fields.
    pub min_properties: Option<i64>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// The permitted values; empty for any.
    pub values: Permitted,
    /// Every one must hold.
    pub all_of: Vec<Structural>,
    /// At least one must hold.
    pub any_of: Vec<Structural>,
    /// Exactly one must hold.
    pub one_of: Vec<Structural>,
    /// Must not hold.
    pub not: Option<Box<Structural>>,
}

/// What is somewhere in a schema, so that walks can leave out the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Below {
    pub(crate) default: bool,
    pub(crate) embedded: bool,
    pub(crate) unique_list: bool,
    /// How much the default of this node adds to an object, in bytes beside its name.
    pub(crate) default_bytes: usize,
    /// The memory that the default of this node takes, in bytes beside its place in a container.
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

    /// Schemas one level of the value below this one.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Self> {
        let items = self.items.as_deref().into_iter();
        self.properties
            .values()
            .chain(self.additional())
            .chain(items)
    }

    /// Notes what is below, after everything below has done so.
    pub(crate) fn finish(&mut self) {
        // Quotes, colon and comma, and 16 bytes for the memory that a small value takes.
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
    /// All types, in the order messages list them.
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
