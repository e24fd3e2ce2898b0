//! Tests of the cache through its public interface.

mod cache;
mod encodings;
mod model;
