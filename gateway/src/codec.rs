//! Request bodies to objects, and objects to response bodies.
//!
//! *In*: [`decode`] parses strictly and applies the schema.
//!
//! *Out*: the input is an object as stored: compact JSON. A JSON response sends these bytes
//! unchanged; other representations are derived from them: indented JSON, YAML, table rows, partial
//! metadata. Errors and partial metadata are also available as protobuf. Lists are encoded in
//! chunks while the client reads, watch events once for all watchers.

pub(crate) mod decode;

mod negotiated;

mod columns;
mod partial;
mod row;

mod compress;
mod source;

mod document;
mod list;

mod watch;

pub(crate) use document::{error, object, scale, status};
pub(crate) use list::{Objects, Page, list};
pub(crate) use negotiated::Negotiated;
pub(crate) use watch::{Bookmarks, Source as WatchSource, watch};
