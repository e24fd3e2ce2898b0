//! The driver at its border: the kit's trait, and the files it leaves.

mod fence;
mod files;
mod former;
mod history;
mod import;
mod lists;
mod origins;
mod places;
mod space;
mod sql;
mod staged;
mod store;
mod writes;
