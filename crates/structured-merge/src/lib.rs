//! Server-side apply: merging by schema, ownership of fields, and conflicts.
//!
//! Several managers write to one object, each with a partial configuration. The object records who
//! owns which fields, in `metadata.managedFields`. This crate computes the merged object, the owners
//! and the conflicts as `sigs.k8s.io/structured-merge-diff/v6` does, which Kubernetes uses: the same
//! objects, the same bytes of `fieldsV1`, the same messages.
//!
//! | to | use |
//! |---|---|
//! | describe a type | [`Structural`] for schemas of custom resources, [`SchemaBuilder`] for any |
//! | check a value | [`TypedValue`] |
//! | merge, compare, extract, remove | the methods of [`TypedValue`] |
//! | name fields | [`Path`], [`PathElement`], [`FieldSet`] |
//! | read and write `fieldsV1` | [`FieldsReader`], [`FieldSet::to_json`] |
//! | compute owners | [`Updater`] |
//!
//! The entries of `metadata.managedFields` (times, subresources, limits) are the caller's.
//!
//! # Cost and limits
//!
//! Every operation takes n log n steps in the size of its values and sets, and nothing panics. A
//! [`FieldSet`] is a flat list, and its operations do not recurse. Operations on values recurse as
//! deep as the values are nested: [`Options::depth`] and [`FieldsReader::depth`] bound the depth, and
//! are [`DEFAULT_DEPTH`] unless set. A thread needs about 2 KiB of stack per level in an unoptimized
//! build, so 64 MiB suffice for the 10,000 levels that kube-apiserver accepts. Values that this
//! crate returns are not nested deeper than those it was given. Dropping and cloning a
//! [`serde_json::Value`] recurses as well.
//!
//! # Differences from the reference
//!
//! - Conflicts and errors within maps are sorted; in the reference their order is random.
//! - Error texts beyond 1 MiB are left out; see [`ValidationErrors`].
//! - Versions of managers are visited in order, not in random order.
//! - Unions, which Kubernetes does not use, are not supported.

mod conflict;
mod element;
mod managers;
mod schema;
mod set;
mod text;
mod typed;
mod update;
mod value;
mod wire;

pub use conflict::{Conflict, Conflicts};
pub use element::{KeyField, Path, PathElement};
pub use managers::{Managers, Owned, differences};
pub use schema::{
    Additional, FieldType, Kind, ListKind, ListType, MapKind, MapType, Relation, Scalar, Schema,
    SchemaBuilder, Structural, StructuralError, Type, TypeId, UndefinedType,
};
pub use set::{FieldSet, Filter, Matcher, Paths, Step};
pub use typed::{Comparison, KeyFields, Options, TypedValue, ValidationError, ValidationErrors};
pub use update::{
    Applied, ApplyError, ConvertError, Converter, NoConversion, PruneError, UpdateError, Updater,
};
pub use wire::{FieldsError, FieldsReader};

/// Default limit of nested lists and maps: enough for every real object, and safe on a thread with a
/// stack of 2 MiB.
pub const DEFAULT_DEPTH: usize = 500;

/// Tests the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
