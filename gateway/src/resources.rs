//! Served resources: an immutable snapshot of compiled resource definitions.
//!
//! A [`Catalog`] is built from manifests of `apiextensions.k8s.io/v1` and replaced as a whole when
//! they change. It resolves the resource of a path ([`Catalog::served`]), decodes stored values
//! ([`crate::store::Decoder`]), and lists everything served (for discovery).

mod documents;
mod load;

mod body_limit;
mod resource;
mod typed;

mod built_in;

mod catalog;

mod read;
mod served;

pub use built_in::{BuiltIn, CORE_GROUP, Review, View};
pub use catalog::{Catalog, Conflict};
pub(crate) use load::compile_built_in;
pub use load::{LoadError, Manifest, fingerprint, parse, read_paths};
pub use resource::Resource;
pub use served::Served;
pub(crate) use typed::{MAX_DEPTH, Typed};

#[cfg(test)]
mod tests;
