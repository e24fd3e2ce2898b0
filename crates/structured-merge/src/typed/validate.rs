//! Conformance of a value to its type.

use serde_json::{Map, Value};

use crate::schema::{ListType, MapType, Relation, Scalar, Schema, TypeId};
use crate::text;
use crate::typed::error::ValidationErrors;
use crate::typed::item::{Index, ItemKey};
use crate::typed::trail::{Step, Trail};
use crate::typed::{Handle, Kinds, TypedValue, UNDECLARED};
use crate::value::sorted;

struct Walk<'s> {
    schema: &'s Schema,
    duplicates: bool,
    errors: ValidationErrors,
}

pub(super) fn check(typed: &TypedValue, duplicates: bool) -> Result<(), ValidationErrors> {
    let mut walk = Walk {
        schema: &typed.schema,
        duplicates,
        errors: ValidationErrors::default(),
    };
    walk.node(Some(typed.ty), &typed.value, &Trail::ROOT);
    walk.errors.into_result()
}

/// What is wrong with a scalar. Null is a value of every type.
pub(super) fn scalar_problem(scalar: Scalar, value: &Value, side: &str) -> Option<String> {
    match (scalar, value) {
        (_, Value::Null)
        | (Scalar::Numeric, Value::Number(_))
        | (Scalar::String, Value::String(_))
        | (Scalar::Boolean, Value::Bool(_))
        | (Scalar::Untyped, Value::Bool(_) | Value::Number(_) | Value::String(_)) => None,
        (Scalar::Numeric, other) => Some(format!(
            "{side}expected numeric (int or float), got {}",
            text::type_name(other)
        )),
        (Scalar::String, other) => Some(format!(
            "{side}expected string, got {}",
            text::pointer_syntax(other)
        )),
        (Scalar::Boolean, other) => Some(format!(
            "{side}expected boolean, got {}",
            text::pointer(other)
        )),
        (Scalar::Untyped, other) => Some(format!(
            "{side}expected any scalar, got {}",
            text::pointer(other)
        )),
    }
}

// === impl Walk ===

impl<'s> Walk<'s> {
    // bounded: TypedValue limits the depth of values
    fn node(&mut self, ty: Option<TypeId>, value: &Value, trail: &Trail<'_>) {
        let kinds = Kinds::of(self.schema, ty).map(|kinds| kinds.of_value(Some(value)));
        let errors = &mut self.errors;
        match kinds.and_then(|kinds| kinds.handle()) {
            None => trail.error(errors, || UNDECLARED.to_owned()),
            Some(Handle::Scalar(scalar)) => {
                if let Some(problem) = scalar_problem(scalar, value, "") {
                    trail.error(errors, || problem);
                }
            }
            Some(Handle::Map(map)) => match value {
                Value::Null => {}
                Value::Object(members) => self.map(map, members, trail),
                other => {
                    trail.error(errors, || {
                        format!("expected map, got {}", text::pointer(other))
                    });
                }
            },
            Some(Handle::List(list)) => match value {
                Value::Null => {}
                Value::Array(items) => self.list(list, items, trail),
                other => {
                    trail.error(errors, || {
                        format!("expected list, got {}", text::pointer(other))
                    });
                }
            },
        }
    }

    // bounded: as `node`
    fn map(&mut self, map: &'s MapType, members: &Map<String, Value>, trail: &Trail<'_>) {
        for (name, value) in sorted(members) {
            let (declared, ty) = map.member(name);
            let below = trail.then(Step::member(declared, name));
            if ty.is_none() {
                below.error(&mut self.errors, || {
                    "field not declared in schema".to_owned()
                });
                // The reference stops here as well, though its order is random.
                return;
            }
            self.node(ty, value, &below);
        }
    }

    // bounded: as `node`
    fn list(&mut self, list: &'s ListType, items: &[Value], trail: &Trail<'_>) {
        if list.relation == Relation::Atomic {
            for (index, item) in items.iter().enumerate() {
                self.node(Some(list.items), item, &trail.then(Step::Index(index)));
            }
            return;
        }
        let mut keys = Vec::with_capacity(items.len());
        let mut bad = None;
        for item in items {
            match ItemKey::of(self.schema, list, item) {
                Ok(key) => keys.push(key),
                Err(problem) => {
                    bad = Some(problem);
                    break;
                }
            }
        }
        let at = keys.len();
        let index = Index::new(keys);
        let mut repeated = vec![false; at];
        for group in index.groups().filter(|_| !self.duplicates) {
            for later in &group[1..] {
                repeated[*later] = true;
            }
        }
        for ((key, item), repeated) in index.keys.iter().zip(items).zip(repeated) {
            if repeated {
                let element = key.to_element();
                trail.error(&mut self.errors, || {
                    format!("duplicate entries for key {element}")
                });
            }
            self.node(Some(list.items), item, &trail.then(Step::Item(key)));
        }
        if let Some(problem) = bad {
            trail.error(&mut self.errors, || format!("element {at}: {problem}"));
        }
    }
}
