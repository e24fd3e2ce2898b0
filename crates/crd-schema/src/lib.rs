//! Structural schemas of custom resources: their definitions, and their effects on objects.
//!
//! Every function here is a pure function of a value and a schema; the caller determines the order:
//! [`prune`], [`nulls`], [`coerce`] and [`default`] for requests, [`validate`], [`scale`],
//! [`embedded`] and [`list_type`] before an object is [`stored`], [`columns`] for responses.
//!
//! Source of the rules and messages:
//! `k8s.io/apiextensions-apiserver/pkg/apiserver/{schema,validation}` and
//! `k8s.io/kube-openapi/pkg/validation`.

pub mod coerce;
pub mod columns;
pub mod default;
pub mod definition;
pub mod embedded;
pub mod format;
pub mod jsonpath;
mod kind;
pub mod list_type;
pub mod nulls;
pub mod object_meta;
pub mod openapi;
mod owners;
pub mod prune;
pub mod regexp;
pub mod scale;
pub mod selectable;
pub mod stored;
pub mod structural;
mod unknown;
pub mod validate;

pub use columns::Column;
pub use definition::{Definition, Loaded, Names, Scope, Version};
pub use scale::ScalePaths;
pub use selectable::SelectableField;
pub use structural::Structural;
