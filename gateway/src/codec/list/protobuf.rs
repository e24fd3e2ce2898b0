//! `PartialObjectMetadataList` as protobuf.
//!
//! The message starts with its length, which depends on all objects. Objects up to [`MADE`] bytes
//! are encoded before sending; later ones are counted first and encoded again when they are sent,
//! so that the list is not held in memory.

use api_types::media_type::MetaVersion;
use api_types::protobuf::{self, Length, Sink, Writer};
use api_types::table::ListMeta;

use super::{Objects, Page};
use crate::codec::partial;
use crate::codec::source::{PIECE, Source};
use crate::compute::{Turn, Walks};
use crate::store::{DecodeError, Stored};

const KIND: &str = "PartialObjectMetadataList";
/// Bytes that are encoded before the first chunk is sent: about two thousand objects.
const MADE: usize = 4 * PIECE;

/// A list that is being encoded.
pub(super) struct List {
    /// Start of the next chunk.
    begin: Vec<u8>,
    /// Remaining objects.
    objects: Objects,
    item_field: u32,
    end: Vec<u8>,
    turn: Turn,
}

impl List {
    /// Computes the length of the list.
    pub(super) async fn new(version: MetaVersion, page: Page, walks: &Walks) -> Self {
        let (meta_field, item_field) = match version {
            MetaVersion::V1 => (1, 2),
            MetaVersion::V1beta1 => (2, 1),
        };
        let mut meta = Vec::new();
        Writer::new(&mut meta).message(meta_field, |to| list_meta(&page.meta, to));
        let (mut made, mut behind) = (Vec::new(), Length::default());
        let (mut count, mut turn) = (0, walks.begin());
        for object in (page.walk)() {
            let Some(object) = object else {
                count += usize::from(behind.0 == 0);
                turn.pass(0).await;
                continue;
            };
            if made.len() < MADE {
                item(item_field, &object, &mut made);
                count += 1;
            } else {
                item(item_field, &object, &mut behind);
            }
            turn.pass(object.bytes().len()).await;
        }
        let objects: Objects = match behind {
            Length(0) => Box::new(std::iter::empty()),
            Length(_) => Box::new((page.walk)().skip(count)),
        };
        let (mut begin, mut end) = (Vec::with_capacity(made.len() + 128), Vec::new());
        let length = meta.len() + made.len() + behind.0;
        protobuf::begin_long_document(version.api_version(), KIND, length, &mut begin);
        // Fields are encoded in the order of their numbers.
        let at = if meta_field < item_field {
            &mut begin
        } else {
            &mut end
        };
        at.append(&mut meta);
        begin.append(&mut made);
        protobuf::end_document(&mut end);
        turn.end();
        Self {
            begin,
            objects,
            item_field,
            end,
            turn,
        }
    }
}

impl Source for List {
    async fn prepare(&mut self) -> Result<(), DecodeError> {
        self.turn.renew().await;
        Ok(())
    }

    fn rest(&mut self) {
        self.turn.end();
    }

    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, DecodeError> {
        out.append(&mut self.begin);
        while out.len() <= PIECE {
            let Some(object) = self.objects.next() else {
                out.append(&mut self.end);
                return Ok(false);
            };
            let bytes = object.as_ref().map_or(0, |object| object.bytes().len());
            if let Some(object) = object {
                item(self.item_field, &object, out);
            }
            if self.turn.spend(bytes) {
                break;
            }
        }
        Ok(true)
    }
}

fn item(field: u32, object: &Stored, out: &mut impl Sink) {
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
