//! What is served: an immutable snapshot of resource definitions, compiled once.
//!
//! A [`Catalog`] is made from manifests of `apiextensions.k8s.io/v1`, swapped as a whole when they
//! change, and answers three questions: which resource a path means ([`Catalog::served`]), how a
//! stored value is read ([`crate::store::Codec`]), and what there is (for discovery).

mod load;

mod body_limit;
mod resource;

mod catalog;

mod read;
mod served;

pub use catalog::{Catalog, Conflict};
pub use load::{LoadError, Manifest, parse, read_paths};
pub use resource::Resource;
pub use served::Served;

#[cfg(test)]
mod tests;
