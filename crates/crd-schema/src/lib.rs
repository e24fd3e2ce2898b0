//! Structural schemas of custom resources: what a definition says, and what it does to objects.
//!
//! Everything here is a pure function of a value and a schema; the registry decides the order:
//! [`prune`], [`nulls`], [`coerce`], [`default`] on the way in, [`validate`], [`scale`],
//! [`embedded`] and [`list_type`] before an object is [`stored`], [`columns`] on the way out.
//!
//! Source of the rules and texts: `k8s.io/apiextensions-apiserver/pkg/apiserver/{schema,validation}`
//! and `k8s.io/kube-openapi/pkg/validation`.

pub mod coerce;
pub mod columns;
pub mod default;
pub mod definition;
pub mod embedded;
pub mod format;
pub mod jsonpath;
pub mod list_type;
pub mod nulls;
pub mod openapi;
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
