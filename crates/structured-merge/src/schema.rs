//! Schemas: how values of each type are merged.

mod object_meta;
mod structural;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

pub use structural::{Additional, Kind, ListKind, MapKind, Structural, StructuralError};

/// Types that refer to each other. Immutable; clones share it.
///
/// Made from a [`Structural`] description, or type by type:
///
/// ```
/// use structured_merge::{ListType, MapType, Scalar, SchemaBuilder, Type};
///
/// let mut types = SchemaBuilder::default();
/// let text = types.add(Type::from(Scalar::String));
/// let tags = types.add(Type::from(ListType::set(text)));
/// let root = types.add(Type::from(MapType::of_fields([("tags", tags)])));
/// let schema = types.build()?;
/// assert!(schema.type_of(root).map.is_some());
/// # Ok::<(), structured_merge::UndefinedType>(())
/// ```
#[derive(Clone, Debug)]
pub struct Schema {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    types: Vec<Type>,
    names: BTreeSet<Arc<str>>,
    deduced: TypeId,
}

/// A type of one schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeId(u32);

/// What a value of a type may be; at least one of the three.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Type {
    /// The name of a type that is referred to by name. Only messages show it, and reconciliation
    /// distinguishes named scalars from inlined ones.
    pub name: Option<Arc<str>>,
    /// A text, a number or a truth value.
    pub scalar: Option<Scalar>,
    /// A list.
    pub list: Option<ListType>,
    /// A map.
    pub map: Option<MapType>,
}

/// Kinds of scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// An integer or a float.
    Numeric,
    /// A text.
    String,
    /// True or false.
    Boolean,
    /// Any scalar.
    Untyped,
}

/// Type of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListType {
    /// Type of the items.
    pub items: TypeId,
    /// How items are identified.
    pub relation: Relation,
}

/// How the items of a list are identified.
#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    /// They are not: the list is replaced as a whole.
    Atomic,
    /// By their value.
    Set,
    /// By these members; at least one.
    Keys(Vec<Arc<str>>),
}

/// Type of a map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MapType {
    /// Declared members.
    pub fields: BTreeMap<Arc<str>, FieldType>,
    /// Type of the members that are not declared; without it there are none.
    pub elements: Option<TypeId>,
    /// Whether the map is replaced as a whole.
    pub atomic: bool,
}

/// A declared member of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldType {
    /// Type of the value.
    pub value: TypeId,
    /// Value of the member as a key of a list item that omits it. Null is no default.
    pub default: Option<Value>,
}

/// Makes a [`Schema`].
///
/// It contains the two types of values without a schema: see [`deduced`](Self::deduced).
#[derive(Debug)]
pub struct SchemaBuilder {
    types: Vec<Option<Type>>,
}

/// A type was [reserved](SchemaBuilder::reserve) and not defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("type {0} was reserved and not defined: define every reserved type")]
pub struct UndefinedType(usize);

/// Position of the type whose maps are granular and whose lists are atomic.
const DEDUCED: TypeId = TypeId(0);
/// Position of the type whose maps and lists are atomic.
const UNTYPED: TypeId = TypeId(1);

// === impl Schema ===

impl Schema {
    /// The type with this ID, which must be of this schema: an ID of another schema yields an
    /// arbitrary type.
    #[must_use]
    pub fn type_of(&self, id: TypeId) -> &Type {
        let types = &self.inner.types;
        // The schema has at least the two built-in types.
        types.get(id.0 as usize).unwrap_or(&types[0])
    }

    /// The type of values without a schema: scalars are leaves, maps are granular, lists atomic.
    #[must_use]
    pub fn deduced(&self) -> TypeId {
        self.inner.deduced
    }

    /// Whether both are the same schema.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The shared form of the name of a declared member.
    pub(crate) fn shared_name(&self, name: &str) -> Option<&Arc<str>> {
        self.inner.names.get(name)
    }

    /// Whether a map of this type has no declared members and any others, which reconciliation
    /// skips.
    pub(crate) fn is_free_form(&self, map: &MapType) -> bool {
        map.fields.is_empty()
            && map.elements.is_some_and(|elements| {
                let element = self.type_of(elements);
                let untyped = element.scalar == Some(Scalar::Untyped);
                elements == DEDUCED || element.name.is_none() && untyped
            })
    }
}

// === impl SchemaBuilder ===

impl Default for SchemaBuilder {
    fn default() -> Self {
        let free_form = |name: &str, elements, atomic| Type {
            name: Some(name.into()),
            scalar: Some(Scalar::Untyped),
            list: Some(ListType {
                items: UNTYPED,
                relation: Relation::Atomic,
            }),
            map: Some(MapType {
                elements: Some(elements),
                atomic,
                ..MapType::default()
            }),
        };
        let deduced = free_form("__untyped_deduced_", DEDUCED, false);
        let untyped = free_form("__untyped_atomic_", UNTYPED, true);
        Self {
            types: vec![Some(deduced), Some(untyped)],
        }
    }
}

impl SchemaBuilder {
    /// The type of values without a schema: scalars are leaves, maps are granular, lists atomic.
    #[must_use]
    pub const fn deduced(&self) -> TypeId {
        DEDUCED
    }

    /// The type of values that are replaced as a whole.
    #[must_use]
    pub const fn untyped(&self) -> TypeId {
        UNTYPED
    }

    /// Adds a type.
    pub fn add(&mut self, ty: Type) -> TypeId {
        let id = self.reserve();
        self.define(id, ty);
        id
    }

    /// An ID for a type that is [defined](Self::define) later, so that types can be recursive.
    pub fn reserve(&mut self) -> TypeId {
        let id = u32::try_from(self.types.len()).unwrap_or(u32::MAX);
        self.types.push(None);
        TypeId(id)
    }

    /// Defines a reserved type.
    pub fn define(&mut self, id: TypeId, ty: Type) {
        if let Some(slot) = self.types.get_mut(id.0 as usize) {
            *slot = Some(ty);
        }
    }

    /// The schema of all types.
    ///
    /// # Errors
    /// If a reserved type was not defined.
    pub fn build(self) -> Result<Schema, UndefinedType> {
        let types = self.types.into_iter().enumerate();
        let types: Result<Vec<Type>, _> =
            types.map(|(at, ty)| ty.ok_or(UndefinedType(at))).collect();
        let types = types?;
        let maps = types.iter().filter_map(|ty| ty.map.as_ref());
        let names = maps.flat_map(|map| map.fields.keys().cloned()).collect();
        Ok(Schema {
            inner: Arc::new(Inner {
                types,
                names,
                deduced: DEDUCED,
            }),
        })
    }
}

// === impl Type ===

impl From<Scalar> for Type {
    fn from(scalar: Scalar) -> Self {
        Self {
            scalar: Some(scalar),
            ..Self::default()
        }
    }
}

impl From<ListType> for Type {
    fn from(list: ListType) -> Self {
        Self {
            list: Some(list),
            ..Self::default()
        }
    }
}

impl From<MapType> for Type {
    fn from(map: MapType) -> Self {
        Self {
            map: Some(map),
            ..Self::default()
        }
    }
}

// === impl ListType ===

impl ListType {
    /// A list that is replaced as a whole.
    #[must_use]
    pub const fn atomic(items: TypeId) -> Self {
        Self {
            items,
            relation: Relation::Atomic,
        }
    }

    /// A list of unique values.
    #[must_use]
    pub const fn set(items: TypeId) -> Self {
        Self {
            items,
            relation: Relation::Set,
        }
    }

    /// A list of maps that are identified by these members; without any it is a set.
    #[must_use]
    pub fn keyed<'a>(items: TypeId, keys: impl IntoIterator<Item = &'a str>) -> Self {
        let keys: Vec<Arc<str>> = keys.into_iter().map(Arc::from).collect();
        let relation = if keys.is_empty() {
            Relation::Set
        } else {
            Relation::Keys(keys)
        };
        Self { items, relation }
    }
}

// === impl MapType ===

impl MapType {
    /// A map of declared members without defaults.
    #[must_use]
    pub fn of_fields<'a>(fields: impl IntoIterator<Item = (&'a str, TypeId)>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| {
            let default = None;
            (Arc::from(name), FieldType { value, default })
        });
        Self {
            fields: fields.collect(),
            ..Self::default()
        }
    }

    /// A map whose members all have one type.
    #[must_use]
    pub fn of_elements(elements: TypeId) -> Self {
        Self {
            elements: Some(elements),
            ..Self::default()
        }
    }

    /// The type of the member with this name, and its shared name if it is declared.
    pub(crate) fn member(&self, name: &str) -> (Option<&Arc<str>>, Option<TypeId>) {
        match self.fields.get_key_value(name) {
            Some((name, field)) => (Some(name), Some(field.value)),
            None => (None, self.elements),
        }
    }
}
