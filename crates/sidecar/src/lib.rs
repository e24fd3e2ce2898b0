//! Driver kit: everything a storage driver would write again. Implement [`driver::Driver`].

pub mod driver;

pub use driver::Driver;
