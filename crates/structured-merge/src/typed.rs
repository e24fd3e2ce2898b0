//! Values with a type of a schema.

mod compare;
mod error;
mod field_set;
mod item;
mod merge;
mod reconcile;
mod remove;
#[cfg(test)]
mod tests;
mod trail;
mod validate;

use std::sync::Arc;

use serde_json::Value;

use crate::schema::{ListType, MapType, Scalar, Schema, Type, TypeId};
use crate::set::FieldSet;
use crate::value;

pub use compare::Comparison;
pub use error::{ValidationError, ValidationErrors};

/// A value that conforms to a type of a schema. Clones share the value.
///
/// ```
/// use serde_json::json;
/// use structured_merge::{Kind, ListKind, Structural, TypedValue};
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
///
/// let live = TypedValue::new(json!({"tags": ["a", "b"]}), &schema, root)?;
/// let config = TypedValue::new(json!({"tags": ["c", "b"]}), &schema, root)?;
/// let merged = live.merge(&config)?;
/// assert_eq!(*merged.value(), json!({"tags": ["a", "c", "b"]}));
///
/// let set = config.to_field_set()?;
/// assert_eq!(set.to_json(), r#"{"f:tags":{"v:\"b\"":{},"v:\"c\"":{}}}"#);
///
/// let error = TypedValue::new(json!({"tags": [1]}), &schema, root).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     ".tags[=1]: expected string, got &value.valueUnstructured{Value:1}"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TypedValue {
    value: Arc<Value>,
    schema: Schema,
    ty: TypeId,
}

/// What a conversion to a [`TypedValue`] accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether the items of a set or keyed list may be repeated. Live objects may contain
    /// duplicates that older servers accepted; applied configurations may not.
    pub duplicates: bool,
    /// Limit of nested lists and maps. The functions of this crate recurse that deep over values.
    pub depth: usize,
}

/// Which items [`TypedValue::extract_items`] keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFields {
    /// Only those of the set.
    #[default]
    AsListed,
    /// Also the keys of the list items that contain them.
    Append,
}

/// The kinds that a value may have by its type: those of the type, or the one that it has.
#[derive(Clone, Copy)]
pub(crate) struct Kinds<'s> {
    scalar: Option<Scalar>,
    list: Option<&'s ListType>,
    map: Option<&'s MapType>,
}

/// How to handle a value.
pub(crate) enum Handle<'s> {
    Map(&'s MapType),
    Scalar(Scalar),
    List(&'s ListType),
}

/// Message for a member that its map does not declare.
const UNDECLARED: &str = "schema error: invalid atom: inlined";

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            duplicates: false,
            depth: crate::DEFAULT_DEPTH,
        }
    }
}

// === impl TypedValue ===

impl TypedValue {
    /// Checks a value, without duplicates and at most [`DEFAULT_DEPTH`](crate::DEFAULT_DEPTH)
    /// levels deep.
    ///
    /// # Errors
    /// If the value does not conform to the type.
    pub fn new(value: Value, schema: &Schema, ty: TypeId) -> Result<Self, ValidationErrors> {
        Self::with_options(value, schema, ty, Options::default())
    }

    /// Checks a value. n log n in its size.
    ///
    /// # Errors
    /// If the value does not conform to the type or the options.
    pub fn with_options(
        value: impl Into<Arc<Value>>,
        schema: &Schema,
        ty: TypeId,
        options: Options,
    ) -> Result<Self, ValidationErrors> {
        let value = value.into();
        if value::is_deeper(&value, options.depth) {
            return Err(ValidationErrors::too_deep(options.depth));
        }
        let typed = Self {
            value,
            schema: schema.clone(),
            ty,
        };
        validate::check(&typed, options.duplicates)?;
        Ok(typed)
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value, cloned only if it is shared.
    #[must_use]
    pub fn into_value(self) -> Value {
        Arc::unwrap_or_clone(self.value)
    }

    /// The schema of the type.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The type.
    #[must_use]
    pub const fn type_id(&self) -> TypeId {
        self.ty
    }

    /// Whether both values are equal; `1` equals `1.0`.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value) || value::equal(&self.value, &other.value)
    }

    /// The fields that the value mentions: leaves, the items of sets and keyed lists, members that
    /// are not declared, nulls and empty maps. Repeated items are one field without those below.
    ///
    /// n log n in the size of the value.
    ///
    /// # Errors
    /// If the value has a member that its type does not declare.
    pub fn to_field_set(&self) -> Result<FieldSet, ValidationErrors> {
        field_set::of(self)
    }

    /// This value with the fields of another one, which prevail. Nothing is removed.
    ///
    /// The items of a set or keyed list have the order of the other value; items that only this
    /// value has stay behind their predecessors. n log n in the size of both values.
    ///
    /// # Errors
    /// If the types differ, or the other value repeats the items of a list.
    pub fn merge(&self, other: &Self) -> Result<Self, ValidationErrors> {
        self.check_same_type(other)?;
        let value = merge::merge(self, other)?;
        Ok(self.with_value(value))
    }

    /// The fields that differ in another value. n log n in the size of both values.
    ///
    /// # Errors
    /// If the types differ.
    pub fn compare(&self, other: &Self) -> Result<Comparison, ValidationErrors> {
        self.check_same_type(other)?;
        compare::compare(self, other)
    }

    /// The value without the members and items of the set. Lists and maps that are replaced as a
    /// whole become null if the set contains fields within them.
    ///
    /// n log n in the size of the value and of the set.
    #[must_use]
    pub fn remove_items(&self, items: &FieldSet) -> Self {
        // Without anything to remove, only an empty or atomic root would change.
        let kinds = self.kinds(Some(self.ty));
        let granular = kinds.is_some_and(|kinds| kinds.map.is_some_and(|map| !map.atomic));
        let members = self.value.as_object().is_some_and(|map| !map.is_empty());
        if items.is_empty() && granular && members {
            return self.clone();
        }
        self.with_value(remove::remove(self, items.view()))
    }

    /// The value with nothing but the members and items of the set.
    ///
    /// Complexity as [`remove_items`](Self::remove_items).
    #[must_use]
    pub fn extract_items(&self, items: &FieldSet, keys: KeyFields) -> Self {
        let with_keys = match keys {
            KeyFields::AsListed => None,
            KeyFields::Append => remove::key_fields(self, items),
        };
        let items = with_keys.as_ref().unwrap_or(items);
        self.with_value(remove::extract(self, items.view()))
    }

    /// Adapts a set that was computed with an earlier schema: fields below a list or map that became
    /// atomic are replaced by the list or map. `None` if nothing changes.
    ///
    /// n log n in the size of the set; does not recurse.
    ///
    /// # Errors
    /// If the schema has a type that permits no value.
    pub fn reconcile(&self, set: &FieldSet) -> Result<Option<FieldSet>, ValidationErrors> {
        reconcile::reconcile(self, set)
    }

    /// A result of an operation on this value, which has the same type.
    fn with_value(&self, value: Value) -> Self {
        Self {
            value: Arc::new(value),
            schema: self.schema.clone(),
            ty: self.ty,
        }
    }

    fn check_same_type(&self, other: &Self) -> Result<(), ValidationErrors> {
        if !self.schema.is(&other.schema) {
            let problem = "expected objects with types from the same schema";
            return Err(ValidationErrors::of(problem.to_owned()));
        }
        if self.ty != other.ty {
            let problem = "expected objects of the same type";
            return Err(ValidationErrors::of(problem.to_owned()));
        }
        Ok(())
    }

    fn kinds(&self, ty: Option<TypeId>) -> Option<Kinds<'_>> {
        Kinds::of(&self.schema, ty)
    }
}

// === impl Kinds ===

impl<'s> Kinds<'s> {
    /// The kinds of a type; `None` for a member that has none.
    pub(crate) fn of(schema: &'s Schema, ty: Option<TypeId>) -> Option<Self> {
        let Type {
            scalar, list, map, ..
        } = schema.type_of(ty?);
        let kinds = Self {
            scalar: *scalar,
            list: list.as_ref(),
            map: map.as_ref(),
        };
        kinds.handle().is_some().then_some(kinds)
    }

    /// The one kind of the value, if the type permits it; otherwise all of the type.
    pub(crate) fn of_value(self, value: Option<&Value>) -> Self {
        let none = Self {
            scalar: None,
            list: None,
            map: None,
        };
        match value {
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) if self.scalar.is_some() => {
                Self {
                    scalar: self.scalar,
                    ..none
                }
            }
            Some(Value::Array(_)) if self.list.is_some() => Self {
                list: self.list,
                ..none
            },
            Some(Value::Object(_)) if self.map.is_some() => Self {
                map: self.map,
                ..none
            },
            _ => self,
        }
    }

    /// Whether two selections from one type have the same kind to handle.
    pub(crate) fn is_handled_like(&self, other: &Self) -> bool {
        self.handle().map(|handle| std::mem::discriminant(&handle))
            == other.handle().map(|handle| std::mem::discriminant(&handle))
    }

    /// The map type, whatever else the type permits.
    pub(crate) const fn map(&self) -> Option<&'s MapType> {
        self.map
    }

    /// The list type, whatever else the type permits.
    pub(crate) const fn list(&self) -> Option<&'s ListType> {
        self.list
    }

    /// The kind to handle: the reference prefers maps, then scalars.
    pub(crate) fn handle(&self) -> Option<Handle<'s>> {
        self.map
            .map(Handle::Map)
            .or(self.scalar.map(Handle::Scalar))
            .or(self.list.map(Handle::List))
    }
}
