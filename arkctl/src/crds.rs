//! `import-crds` and `export-crds`: exchange with a cluster that stores the kinds as CRDs.

pub(crate) mod cluster;
pub(crate) mod content;
pub(crate) mod entry;

pub(crate) mod converge;
pub(crate) mod fill;
pub(crate) mod outgoing;

mod api;
pub(crate) mod shadow;

pub(crate) mod export;

#[cfg(test)]
pub(crate) mod testing;

pub use self::export::run as export;
pub use self::fill::run as import;
