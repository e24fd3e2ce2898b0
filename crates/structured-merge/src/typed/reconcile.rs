//! Adaptation of a set to a schema that changed since.

use crate::element::PathElement;
use crate::schema::{Relation, TypeId};
use crate::set::view::Children;
use crate::set::{Builder, FieldSet};
use crate::typed::error::ValidationErrors;
use crate::typed::{Handle, Kinds, TypedValue};

/// A level of the set, with the type of the container whose parts are on it.
struct Level<'a> {
    children: Children<'a>,
    below: Below,
}

/// The types of the parts of a container.
#[derive(Clone, Copy)]
enum Below {
    /// Members of a map of this type.
    Members(TypeId),
    /// Items of this type.
    Items(TypeId),
}

pub(super) fn reconcile(
    typed: &TypedValue,
    set: &FieldSet,
) -> Result<Option<FieldSet>, ValidationErrors> {
    // Paths that own a container as a whole from now on.
    let mut whole = Builder::default();
    let mut levels = Vec::new();
    match visit(typed, Some(typed.ty), false, !set.is_empty())? {
        Visit::Into(below) => levels.push(Level {
            children: set.view().children(),
            below,
        }),
        // The root has no path: nothing is removed or added.
        Visit::Whole => return Ok(Some(set.clone())),
        Visit::Stop => {}
    }
    while let Some(level) = levels.last_mut() {
        let below = level.below;
        let Some(child) = level.children.next() else {
            levels.pop();
            continue;
        };
        let depth = levels.len() - 1;
        let Some(ty) = part(typed, below, child.element()) else {
            continue;
        };
        let inner = child.below();
        let atomic = child.is_member() && inner.is_empty();
        whole.push(depth, child.element().clone(), false);
        match visit(typed, Some(ty), atomic, !inner.is_empty())? {
            Visit::Into(below) => levels.push(Level {
                children: inner.children(),
                below,
            }),
            Visit::Whole => whole.mark(),
            Visit::Stop => {}
        }
    }
    let whole = whole.finish();
    if whole.is_empty() {
        return Ok(None);
    }
    Ok(Some(set.recursive_difference(&whole).union(&whole)))
}

/// What happens at a node.
enum Visit {
    /// Its parts are visited.
    Into(Below),
    /// It is owned as a whole.
    Whole,
    /// It stays as it is.
    Stop,
}

/// Decides about a node: `atomic` if it is owned as a whole already, `parts` if fields below it are
/// owned.
fn visit(
    typed: &TypedValue,
    ty: Option<TypeId>,
    atomic: bool,
    parts: bool,
) -> Result<Visit, ValidationErrors> {
    let Some(handle) = Kinds::of(&typed.schema, ty).and_then(|kinds| kinds.handle()) else {
        let problem = "schema error: invalid atom: inlined";
        return Err(ValidationErrors::of(problem.to_owned()));
    };
    Ok(match (handle, ty) {
        (Handle::Map(map), Some(ty)) => {
            if typed.schema.is_free_form(map) {
                Visit::Stop
            } else if !atomic && map.atomic {
                if parts { Visit::Whole } else { Visit::Stop }
            } else {
                Visit::Into(Below::Members(ty))
            }
        }
        (Handle::List(list), _) => {
            if !atomic && list.relation == Relation::Atomic {
                Visit::Whole
            } else {
                Visit::Into(Below::Items(list.items))
            }
        }
        (Handle::Scalar(_) | Handle::Map(_), _) => Visit::Stop,
    })
}

/// The type of a part of a container; `None` if its map does not permit it.
fn part(typed: &TypedValue, below: Below, element: &PathElement) -> Option<TypeId> {
    match below {
        Below::Items(ty) => Some(ty),
        Below::Members(map) => {
            let map = typed.schema.type_of(map).map.as_ref()?;
            match element {
                PathElement::Field(name) => map.member(name).1,
                _ => map.elements,
            }
        }
    }
}
