//! Tests of the driver through the kit's trait, and of the files it creates.

mod fence;
mod file_locations;
mod files;
mod former;
mod history;
mod import;
mod lists;
mod origins;
mod space;
mod sql;
mod staged;
mod store;
mod writes;
