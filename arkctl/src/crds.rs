//! `import-crds` and `export-crds`: exchange with a cluster that stores the kinds as CRDs.

mod api;
mod cluster;
mod export;
mod fill;
mod outgoing;

pub use self::export::run as export;
pub use self::fill::run as import;
