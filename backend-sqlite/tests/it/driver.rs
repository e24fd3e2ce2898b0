//! Tests of the driver through the kit's trait, and of the files it creates.

mod continuity;
mod fence;
mod file_locations;
mod files;
mod former;
mod history;
mod image;
mod import;
mod lists;
mod locked;
mod origins;
mod shuffled;
mod space;
mod sql;
mod staged;
mod store;
mod writes;
