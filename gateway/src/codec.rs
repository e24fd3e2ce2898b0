//! Bytes of a request into an object, and objects into the bytes of an answer.
//!
//! *In*: [`decode`] parses strictly and brings an object into the shape of its schema.
//!
//! *Out*: an object arrives here as the compact JSON that is stored. As JSON it leaves as it came; the
//! other forms are made from it: indented, as YAML, as the row of a table, as metadata alone. Errors
//! and metadata are written as protobuf, too.
//! Lists are written piece by piece as the client reads, watch events once for all watchers.

pub(crate) mod decode;

mod negotiated;

mod columns;
mod partial;
mod row;
mod scale;

mod compress;
mod source;

mod document;
mod list;

mod frame;

pub(crate) use document::{error, object, scale, status};
pub(crate) use frame::Frames;
pub(crate) use list::{Objects, Page, list};
pub(crate) use negotiated::Negotiated;
pub(crate) use scale::ScaleView;
