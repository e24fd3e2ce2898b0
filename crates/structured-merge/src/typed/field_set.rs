//! The fields that a value mentions.

use serde_json::{Map, Value};

use crate::schema::{ListType, MapType, Relation, Schema, TypeId};
use crate::set::{Builder, FieldSet};
use crate::typed::error::ValidationErrors;
use crate::typed::item::{Index, ItemKey};
use crate::typed::trail::{Step, Trail};
use crate::typed::{Handle, Kinds, TypedValue, UNDECLARED};
use crate::value::sorted;

struct Walk<'s> {
    schema: &'s Schema,
    set: Builder,
    errors: ValidationErrors,
}

pub(super) fn of(typed: &TypedValue) -> Result<FieldSet, ValidationErrors> {
    let mut walk = Walk {
        schema: &typed.schema,
        set: Builder::default(),
        errors: ValidationErrors::default(),
    };
    walk.node(Some(typed.ty), &typed.value, &Trail::ROOT);
    walk.errors.into_result()?;
    Ok(walk.set.finish())
}

// === impl Walk ===

impl<'s> Walk<'s> {
    // bounded: TypedValue limits the depth of values
    fn node(&mut self, ty: Option<TypeId>, value: &Value, trail: &Trail<'_>) {
        let kinds = Kinds::of(self.schema, ty).map(|kinds| kinds.of_value(Some(value)));
        match kinds.and_then(|kinds| kinds.handle()) {
            None => Trail::ROOT.error(&mut self.errors, || UNDECLARED.to_owned()),
            Some(Handle::Scalar(_)) => trail.mark(&mut self.set),
            Some(Handle::Map(map)) if map.atomic => trail.mark(&mut self.set),
            Some(Handle::Map(map)) => {
                if let Value::Object(members) = value {
                    self.map(map, members, trail);
                }
            }
            Some(Handle::List(list)) if list.relation == Relation::Atomic => {
                trail.mark(&mut self.set);
            }
            Some(Handle::List(list)) => {
                if let Value::Array(items) = value {
                    self.list(list, items, trail);
                }
            }
        }
    }

    // bounded: as `node`
    fn map(&mut self, map: &'s MapType, members: &Map<String, Value>, trail: &Trail<'_>) {
        for (name, value) in sorted(members) {
            let (declared, ty) = map.member(name);
            let below = trail.then(Step::member(declared, name));
            self.node(ty, value, &below);
            let empty = value.as_object().is_some_and(Map::is_empty);
            if value.is_null() || empty || declared.is_none() {
                below.mark(&mut self.set);
            }
            self.set.close(trail.depth());
        }
    }

    // bounded: as `node`
    fn list(&mut self, list: &'s ListType, items: &[Value], trail: &Trail<'_>) {
        let keys = items.iter().map(|item| {
            let key = ItemKey::of(self.schema, list, item);
            key.unwrap_or(ItemKey::Unkeyed)
        });
        let keys = keys.collect();
        let index = Index::new(keys);
        for group in index.groups() {
            let below = trail.then(Step::Item(&index.keys[group[0]]));
            if let [item] = group {
                self.node(Some(list.items), &items[*item], &below);
            }
            below.mark(&mut self.set);
            self.set.close(trail.depth());
        }
    }
}
