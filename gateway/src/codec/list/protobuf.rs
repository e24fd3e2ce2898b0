//! `PartialObjectMetadataList` as protobuf.
//!
//! The message begins with its length, which is that of all its objects. A page that is small is
//! made at once; of a larger one the lengths are added up in a first walk, so that it need not be
//! held.

use std::sync::Arc;

use api_types::media_type::MetaVersion;
use api_types::protobuf::{self, Writer};
use api_types::table::ListMeta;

use super::{Objects, Page};
use crate::codec::partial;
use crate::codec::source::{PIECE, Source};
use crate::store::{DecodeError, Stored};

const KIND: &str = "PartialObjectMetadataList";
/// The most bytes that are held instead of being made twice.
const HELD: usize = 8 * PIECE;
/// Objects measured before other requests have their turn.
const TURN: usize = 1024;

/// A list being written.
pub(super) struct List {
    /// What the next piece begins with.
    begin: Vec<u8>,
    /// Objects that are not written yet.
    objects: Objects,
    item_field: u32,
    end: Vec<u8>,
}

/// Where the parts of a version's message are.
struct Layout {
    item_field: u32,
    meta_field: u32,
}

impl List {
    /// Works out how long the list is.
    pub(super) async fn new(version: MetaVersion, page: Page) -> Self {
        let layout = Layout::of(version);
        let mut meta = Vec::new();
        Writer::new(&mut meta).message(layout.meta_field, |to| list_meta(&page.meta, to));
        let mut held = Some(Vec::new());
        let mut scratch = Vec::new();
        let mut length = meta.len();
        for (index, object) in (page.walk)().enumerate() {
            if index % TURN == TURN - 1 {
                // Other requests wait for this thread.
                tokio::task::yield_now().await;
            }
            let items = held.as_mut().unwrap_or(&mut scratch);
            let before = items.len();
            item(layout.item_field, &object, items);
            length += items.len() - before;
            if held.is_none() {
                scratch.clear();
            } else if length > HELD {
                held = None;
            }
        }
        let mut begin = Vec::with_capacity(held.as_ref().map_or(0, Vec::len) + 128);
        protobuf::begin_long_document(version.api_version(), KIND, length, &mut begin);
        let mut end = Vec::new();
        // Fields come in the order of their numbers.
        if layout.meta_field < layout.item_field {
            begin.extend_from_slice(&meta);
        } else {
            end.extend_from_slice(&meta);
        }
        let objects = match held {
            Some(items) => {
                begin.extend_from_slice(&items);
                Box::new(std::iter::empty())
            }
            None => (page.walk)(),
        };
        protobuf::end_document(&mut end);
        Self {
            begin,
            objects,
            item_field: layout.item_field,
            end,
        }
    }
}

impl Source for List {
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, DecodeError> {
        if out.is_empty() {
            *out = std::mem::take(&mut self.begin);
        } else {
            out.append(&mut self.begin);
        }
        while out.len() <= PIECE {
            let Some(object) = self.objects.next() else {
                out.append(&mut self.end);
                return Ok(false);
            };
            item(self.item_field, &object, out);
        }
        Ok(true)
    }
}

impl Layout {
    const fn of(version: MetaVersion) -> Self {
        match version {
            MetaVersion::V1 => Self {
                meta_field: 1,
                item_field: 2,
            },
            MetaVersion::V1beta1 => Self {
                item_field: 1,
                meta_field: 2,
            },
        }
    }
}

fn item(field: u32, object: &Arc<Stored>, out: &mut Vec<u8>) {
    let mut to = Writer::new(out);
    to.message(field, |to| partial::protobuf::message(object.bytes(), to));
}

fn list_meta(meta: &ListMeta, to: &mut Writer<'_>) {
    to.string(1, "");
    to.string(2, &meta.resource_version);
    to.string(3, &meta.continue_token);
    if let Some(count) = meta.remaining_item_count {
        to.integer(4, count);
    }
}
