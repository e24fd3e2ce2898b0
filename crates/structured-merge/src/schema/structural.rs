//! Schemas from the structural schemas of custom resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::schema::object_meta::metadata;
use crate::schema::{
    FieldType, ListType, MapType, Relation, Scalar, Schema, SchemaBuilder, Type, TypeId,
};

/// The parts of an OpenAPI v3 schema that determine merging.
///
/// ```
/// use structured_merge::{Kind, ListKind, Structural};
///
/// let tags = Structural {
///     list: Some(ListKind::Set),
///     items: Some(Box::new(Structural::of(Kind::String))),
///     ..Structural::of(Kind::Array)
/// };
/// let root = Structural {
///     properties: [(String::from("tags"), tags)].into(),
///     ..Structural::of(Kind::Object)
/// };
/// let (schema, root) = root.compile()?;
/// assert!(schema.type_of(root).map.is_some());
/// # Ok::<(), structured_merge::StructuralError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Structural {
    /// `type`; none for `x-kubernetes-int-or-string` and for any value.
    pub kind: Option<Kind>,
    /// `format`.
    pub format: String,
    /// `default`, used if the field is a key of a list.
    pub default: Option<Value>,
    /// `properties`.
    pub properties: BTreeMap<String, Self>,
    /// `additionalProperties`.
    pub additional: Additional,
    /// `items`.
    pub items: Option<Box<Self>>,
    /// `x-kubernetes-list-type`.
    pub list: Option<ListKind>,
    /// `x-kubernetes-map-type`.
    pub map: Option<MapKind>,
    /// `x-kubernetes-preserve-unknown-fields`; applies to the schemas below as well.
    pub preserve_unknown_fields: bool,
    /// `x-kubernetes-embedded-resource`; set it on the root as well.
    pub embedded_resource: bool,
}

/// `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Additional {
    /// Not given: any members if there are no properties or unknown fields are preserved.
    #[default]
    Unset,
    /// `true` or `false`.
    Any(bool),
    /// A schema.
    Schema(Box<Structural>),
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Replaced as a whole, like a list without the keyword.
    Atomic,
    /// Unique values.
    Set,
    /// Unique by these members: `x-kubernetes-list-map-keys`.
    Map(Vec<String>),
}

/// `x-kubernetes-map-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Replaced as a whole.
    Atomic,
    /// Merged by member, like a map without the keyword.
    Granular,
}

/// Why a description is no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StructuralError {
    /// An array has no `items`.
    #[error("{path}: an array needs `items`")]
    NoItems {
        /// Path of the schema.
        path: String,
    },
    /// A list of type `map` has no keys.
    #[error("{path}: a list of type map needs `x-kubernetes-list-map-keys`")]
    NoKeys {
        /// Path of the schema.
        path: String,
    },
    /// The description is nested deeper than [`Structural::MAX_DEPTH`].
    #[error("the schema is nested more than {} levels deep", Structural::MAX_DEPTH)]
    TooDeep,
}

struct Compiler {
    types: SchemaBuilder,
    object_meta: Option<TypeId>,
}

// === impl Structural ===

impl Structural {
    /// Limit of nested descriptions.
    pub const MAX_DEPTH: usize = 512;

    /// A description with a type only.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            ..Self::default()
        }
    }

    /// The description of `metadata` of every Kubernetes object.
    #[must_use]
    pub fn object_meta() -> Self {
        metadata()
    }

    /// The schema, and the type of the root.
    ///
    /// # Errors
    /// On an array without items, a map list without keys, and deep nesting.
    pub fn compile(&self) -> Result<(Schema, TypeId), StructuralError> {
        let mut compiler = Compiler {
            types: SchemaBuilder::default(),
            object_meta: None,
        };
        let root = compiler.compile(self, Inherited::default(), "")?;
        // Types are added complete.
        match compiler.types.build() {
            Ok(schema) => Ok((schema, root)),
            Err(_) => Err(StructuralError::TooDeep),
        }
    }
}

/// What a schema inherits from those above it.
#[derive(Clone, Copy, Default)]
struct Inherited {
    preserve_unknown_fields: bool,
    depth: usize,
}

// === impl Compiler ===

impl Compiler {
    // bounded: by MAX_DEPTH
    fn compile(
        &mut self,
        from: &Structural,
        inherited: Inherited,
        path: &str,
    ) -> Result<TypeId, StructuralError> {
        if inherited.depth == Structural::MAX_DEPTH {
            return Err(StructuralError::TooDeep);
        }
        let below = Inherited {
            preserve_unknown_fields: inherited.preserve_unknown_fields
                || from.preserve_unknown_fields,
            depth: inherited.depth + 1,
        };
        let ty = match from.kind {
            None => Type {
                name: None,
                scalar: Some(Scalar::Untyped),
                list: Some(self.list(from, below, path)?),
                map: Some(self.map(from, below, path)?),
            },
            Some(Kind::Object) => self.map(from, below, path)?.into(),
            Some(Kind::Array) => self.list(from, below, path)?.into(),
            Some(Kind::Integer | Kind::Number) => Scalar::Numeric.into(),
            Some(Kind::Boolean) => Scalar::Boolean.into(),
            // Other formats have other forms in Go, such as numbers and nulls.
            Some(Kind::String) if matches!(from.format.as_str(), "" | "byte") => {
                Scalar::String.into()
            }
            Some(Kind::String) => Scalar::Untyped.into(),
        };
        Ok(self.types.add(ty))
    }

    fn list(
        &mut self,
        from: &Structural,
        below: Inherited,
        path: &str,
    ) -> Result<ListType, StructuralError> {
        let items = match &from.items {
            Some(items) => self.compile(items, below, &format!("{path}[]"))?,
            None if from.kind.is_none() => self.types.untyped(),
            None => {
                let path = path.to_owned();
                return Err(StructuralError::NoItems { path });
            }
        };
        let relation = match &from.list {
            None | Some(ListKind::Atomic) => Relation::Atomic,
            Some(ListKind::Set) => Relation::Set,
            Some(ListKind::Map(keys)) if keys.is_empty() => {
                let path = path.to_owned();
                return Err(StructuralError::NoKeys { path });
            }
            Some(ListKind::Map(keys)) => {
                Relation::Keys(keys.iter().map(|key| Arc::from(key.as_str())).collect())
            }
        };
        Ok(ListType { items, relation })
    }

    fn map(
        &mut self,
        from: &Structural,
        below: Inherited,
        path: &str,
    ) -> Result<MapType, StructuralError> {
        let mut fields = BTreeMap::new();
        for (name, property) in &from.properties {
            let value = self.compile(property, below, &format!("{path}.{name}"))?;
            let default = property
                .default
                .clone()
                .filter(|default| !default.is_null());
            fields.insert(Arc::from(name.as_str()), FieldType { value, default });
        }
        if from.embedded_resource {
            self.embed(&mut fields)?;
        }
        let elements = match &from.additional {
            Additional::Unset if below.preserve_unknown_fields || fields.is_empty() => {
                Some(self.types.deduced())
            }
            Additional::Unset | Additional::Any(false) => None,
            Additional::Any(true) => Some(self.types.deduced()),
            Additional::Schema(schema) => {
                Some(self.compile(schema, below, &format!("{path}[*]"))?)
            }
        };
        Ok(MapType {
            fields,
            elements,
            atomic: from.map == Some(MapKind::Atomic),
        })
    }

    /// Adds the members that every Kubernetes object has; they replace those of the description.
    fn embed(&mut self, fields: &mut BTreeMap<Arc<str>, FieldType>) -> Result<(), StructuralError> {
        let meta = match self.object_meta {
            Some(meta) => meta,
            None => self.compile(&metadata(), Inherited::default(), ".metadata")?,
        };
        self.object_meta = Some(meta);
        let text = self.types.add(Scalar::String.into());
        for (name, value) in [("apiVersion", text), ("kind", text), ("metadata", meta)] {
            let default = None;
            fields.insert(Arc::from(name), FieldType { value, default });
        }
        Ok(())
    }
}
