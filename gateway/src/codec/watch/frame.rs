//! Watch events: one JSON line or one protobuf message each.
//!
//! The frame of a change is encoded once and shared by all watchers of the same representation.
//! Frames of initial objects are encoded per watcher, so that they do not occupy the shared cache.

use std::sync::Arc;

use api_types::media_type::{Encoding, MetaVersion, Transform};
use api_types::protobuf::Writer;
use api_types::revision::Revision;
use api_types::status::ApiError;
use api_types::table::{self, ColumnDefinition, IncludeObject, ListMeta};
use bytes::Bytes;
use jiff::Timestamp;
use kube_json::ObjectWriter;

use crate::codec::document::meta_of;
use crate::codec::row::{Rows, key, unreadable};
use crate::codec::{Negotiated, columns, compress, partial};
use crate::compute::INLINE;
use crate::reply;
use crate::resources::Served;
use crate::store::{DecodeError, EventKind, Stored};

/// `InitialEventsAnnotationKey` of `meta/v1`.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Encoder of the events of one watch.
#[derive(Debug)]
pub(super) struct Frames {
    recipe: Arc<Recipe>,
    /// Columns of a table, until the first event has sent them.
    columns: Option<Vec<ColumnDefinition>>,
    /// The compressed stream, if gzip was negotiated.
    gzip: Option<compress::Joined>,
    /// Output since the last shared frame.
    plain: Vec<u8>,
}

/// The immutable encoding parameters of a watch.
#[derive(Debug)]
struct Recipe {
    served: Served,
    shape: Shape,
    wire: Wire,
    compressed: bool,
}

/// A frame that exceeds the weight of inline work.
#[derive(Debug)]
pub(super) struct Heavy {
    recipe: Arc<Recipe>,
    /// None for an initial object.
    kind: Option<EventKind>,
    object: Arc<Stored>,
    columns: Option<Vec<ColumnDefinition>>,
}

/// Wire format of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Lines,
    /// `WatchEvent` of `meta/v1`, preceded by its length.
    Protobuf,
}

/// Representation of an object.
#[derive(Debug)]
enum Shape {
    Objects,
    Metadata(MetaVersion),
    Table {
        rows: Box<Rows>,
        include: IncludeObject,
        version: MetaVersion,
    },
}

impl Frames {
    /// An encoder for a watch; compressed if the client accepts gzip and `compress` is set.
    ///
    /// # Errors
    /// If the client asked for a table with an invalid `includeObject`.
    pub(super) fn new(
        negotiated: &Negotiated,
        served: &Served,
        compress: bool,
    ) -> Result<Self, ApiError> {
        let mut columns = None;
        let shape = match negotiated.transform() {
            // An object is not a list; kube-apiserver sends it unchanged.
            Transform::None | Transform::PartialObjectList(_) => Shape::Objects,
            Transform::PartialObject(version) => Shape::Metadata(version),
            Transform::Table(version) => {
                let include = negotiated.include()?;
                columns = Some(columns::definitions(served));
                Shape::Table {
                    rows: Box::new(Rows::new(served.clone(), version, include)),
                    include,
                    version,
                }
            }
        };
        let wire = match negotiated.encoding() {
            Encoding::Json | Encoding::Yaml => Wire::Lines,
            Encoding::Protobuf => Wire::Protobuf,
        };
        let compressed = compress && negotiated.gzip();
        Ok(Self {
            recipe: Arc::new(Recipe {
                served: served.clone(),
                shape,
                wire,
                compressed,
            }),
            columns,
            gzip: compressed.then(compress::Joined::default),
            plain: Vec::new(),
        })
    }

    /// Whether the events are compressed.
    pub(super) fn compressed(&self) -> bool {
        self.recipe.compressed
    }

    /// Whether a frame must be encoded on the pool; `kind` is none for an initial object.
    pub(super) fn is_heavy(&self, kind: Option<EventKind>, object: &Stored) -> bool {
        object.bytes().len() > INLINE && self.recipe.is_heavy(kind, object)
    }

    /// The encoding job of such a frame. Pass its result to [`Frames::made`].
    pub(super) fn heavy(&mut self, kind: Option<EventKind>, object: &Arc<Stored>) -> Heavy {
        Heavy {
            recipe: Arc::clone(&self.recipe),
            kind,
            object: Arc::clone(object),
            columns: self.columns.take(),
        }
    }

    /// Appends a frame that the pool encoded.
    pub(super) fn made(&mut self, frame: &Bytes, out: &mut Vec<u8>) {
        self.flush(out);
        match &mut self.gzip {
            Some(joined) => joined.push(frame, out),
            None => out.extend_from_slice(frame),
        }
    }

    /// Encodes an initial object.
    pub(super) fn initial(&mut self, object: &Stored) -> Result<(), DecodeError> {
        let columns = self.columns.take();
        let columns = columns.as_deref();
        self.recipe.event("ADDED", object, columns, &mut self.plain)
    }

    /// Appends a change to the output.
    pub(super) fn change(
        &mut self,
        kind: EventKind,
        object: &Stored,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        if let Some(shared) = self.recipe.shared(kind, object)? {
            self.made(&shared, out);
            return Ok(());
        }
        let columns = self.columns.take();
        let columns = columns.as_deref();
        self.recipe
            .event(type_of(kind), object, columns, &mut self.plain)
    }

    /// The shared frame of a change, without a copy; none if the frame is specific to this watcher,
    /// or if pending output must be sent first.
    pub(super) fn alone(
        &mut self,
        kind: EventKind,
        object: &Stored,
    ) -> Result<Option<Bytes>, DecodeError> {
        if !self.plain.is_empty() {
            return Ok(None);
        }
        let shared = self.recipe.shared(kind, object)?;
        Ok(match (&mut self.gzip, shared) {
            (Some(joined), Some(shared)) => joined.alone(&shared),
            (_, shared) => shared,
        })
    }

    /// Encodes a bookmark; `initial_end` marks the end of the initial objects.
    pub(super) fn bookmark(&mut self, revision: Revision, initial_end: bool) {
        let mut object = Vec::with_capacity(192);
        let mut bookmark = ObjectWriter::begin(&mut object);
        bookmark.string("apiVersion", self.recipe.served.api_version());
        bookmark.string("kind", self.recipe.served.kind());
        let mut metadata = bookmark.object("metadata");
        if initial_end {
            let mut annotations = metadata.object("annotations");
            annotations.string(INITIAL_EVENTS_END, "true");
            annotations.end();
        }
        metadata.string("resourceVersion", &revision.to_string());
        metadata.end();
        bookmark.end();
        let (wire, columns) = (self.recipe.wire, &mut self.columns);
        let write = |out: &mut Vec<u8>| match &self.recipe.shape {
            Shape::Objects => out.extend_from_slice(&object),
            Shape::Metadata(version) => wire.metadata(*version, &object, out),
            Shape::Table {
                rows,
                include,
                version,
            } => {
                // The annotation is part of the metadata, so the row must include it.
                let rows = match include {
                    IncludeObject::None if initial_end => &Rows::new(
                        self.recipe.served.clone(),
                        *version,
                        IncludeObject::Metadata,
                    ),
                    _ => &**rows,
                };
                let row = |out: &mut Vec<u8>| rows.object(&object, Timestamp::now(), out);
                let (meta, columns) = (meta_of(&object), columns.take());
                table::write(*version, &meta, columns.as_deref(), row, out);
            }
        };
        wire.event("BOOKMARK", &mut self.plain, write);
    }

    /// Encodes the final event of a failed watch.
    pub(super) fn error(&mut self, error: &ApiError) {
        let wire = self.recipe.wire;
        let encoding = match wire {
            Wire::Lines => Encoding::Json,
            Wire::Protobuf => Encoding::Protobuf,
        };
        let write = |out: &mut Vec<u8>| reply::write_status(error.status(), encoding, out);
        wire.event("ERROR", &mut self.plain, write);
    }

    /// Moves pending output to `out`.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        if self.plain.is_empty() {
            return;
        }
        let plain = std::mem::take(&mut self.plain);
        match &mut self.gzip {
            Some(joined) => joined.push(&compress::piece(&plain), out),
            None if out.is_empty() => *out = plain,
            None => out.extend_from_slice(&plain),
        }
    }

    /// Bytes of pending output.
    pub(super) fn written(&self) -> usize {
        self.plain.len()
    }

    /// The end of a compressed stream, if any.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        self.gzip.as_mut()?.finish()
    }
}

impl Recipe {
    /// The shared frame of a change.
    fn shared(&self, kind: EventKind, object: &Stored) -> Result<Option<Bytes>, DecodeError> {
        let Some(key) = self.key(kind) else {
            return Ok(None);
        };
        let mut failed = None;
        let encode = || {
            let mut frame = Vec::with_capacity(object.bytes().len() + 48);
            match self.simple(type_of(kind), object, &mut frame) {
                Ok(()) => self.packed(frame),
                Err(error) => {
                    failed = Some(error);
                    Bytes::new()
                }
            }
        };
        let shared = object.encodings().get_or_encode_frame(key, encode);
        if shared.is_empty() {
            return Err(failed.unwrap_or_else(unreadable));
        }
        Ok(Some(shared))
    }

    /// Cache key of the shared frame; none if the frame is not shared.
    fn key(&self, kind: EventKind) -> Option<u64> {
        let shape = match self.shape {
            Shape::Objects => 0,
            Shape::Metadata(MetaVersion::V1) => 1,
            Shape::Metadata(MetaVersion::V1beta1) => 2,
            // Table rows contain ages, which depend on the time of sending.
            Shape::Table { .. } => return None,
        };
        let protobuf = u8::from(self.wire == Wire::Protobuf);
        let variant =
            0x80 | protobuf << 5 | u8::from(self.compressed) << 4 | shape << 2 | kind as u8;
        Some(key(&self.served, variant))
    }

    /// Whether encoding is more than a copy of a small object.
    fn is_heavy(&self, kind: Option<EventKind>, object: &Stored) -> bool {
        let copied = matches!(self.shape, Shape::Objects) && self.served.is_storage();
        if copied && !self.compressed {
            return false;
        }
        let shared = kind.and_then(|kind| self.key(kind));
        !shared.is_some_and(|key| object.encodings().has(key))
    }

    fn packed(&self, plain: Vec<u8>) -> Bytes {
        if self.compressed {
            compress::piece(&plain)
        } else {
            plain.into()
        }
    }

    fn event(
        &self,
        kind: &'static str,
        object: &Stored,
        columns: Option<&[ColumnDefinition]>,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let Shape::Table { rows, version, .. } = &self.shape else {
            return self.simple(kind, object, out);
        };
        let mut line = Vec::new();
        rows.stored(object, Timestamp::now(), &mut line)?;
        let meta = ListMeta {
            resource_version: object.revision().to_string(),
            ..ListMeta::default()
        };
        self.wire.event(kind, out, |out| {
            let row = |out: &mut Vec<u8>| out.extend_from_slice(&line);
            table::write(*version, &meta, columns, row, out);
        });
        Ok(())
    }

    /// An event that is not a table.
    fn simple(
        &self,
        kind: &'static str,
        object: &Stored,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        match &self.shape {
            Shape::Metadata(version) => {
                let write = |out: &mut Vec<u8>| self.wire.metadata(*version, object.bytes(), out);
                self.wire.event(kind, out, write);
            }
            Shape::Objects | Shape::Table { .. } => {
                let bytes = self.served.view(object.bytes())?;
                self.wire
                    .event(kind, out, |out| out.extend_from_slice(&bytes));
            }
        }
        Ok(())
    }
}

impl Heavy {
    /// Weight of the frame for the pool.
    pub(super) fn weight(&self) -> usize {
        self.object.bytes().len()
    }

    /// Encodes the frame. None for a shared frame that is now cached with the object.
    ///
    /// # Errors
    /// If the object cannot be encoded.
    pub(super) fn make(self) -> Result<Option<Bytes>, DecodeError> {
        let Self {
            recipe,
            kind,
            object,
            columns,
        } = self;
        if let Some(kind) = kind
            && let Some(shared) = recipe.shared(kind, &object)?
        {
            let cached = !recipe.is_heavy(Some(kind), &object);
            return Ok((!cached).then_some(shared));
        }
        let mut frame = Vec::new();
        let kind = kind.map_or("ADDED", type_of);
        recipe.event(kind, &object, columns.as_deref(), &mut frame)?;
        Ok(Some(recipe.packed(frame)))
    }
}

impl Wire {
    /// Appends an event; `write` appends its object.
    fn event(self, kind: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Lines => {
                out.extend_from_slice(b"{\"type\":\"");
                out.extend_from_slice(kind.as_bytes());
                out.extend_from_slice(b"\",\"object\":");
                write(out);
                out.extend_from_slice(b"}\n");
            }
            Self::Protobuf => {
                let at = out.len();
                out.extend_from_slice(&[0; 4]);
                let mut event = Writer::new(out);
                event.string(1, kind);
                event.message(2, |object| object.appended(1, write));
                let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
                out[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
    }

    fn metadata(self, version: MetaVersion, object: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Lines => partial::write(version, object, out),
            Self::Protobuf => partial::protobuf::write(version, object, out),
        }
    }
}

const fn type_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Added => "ADDED",
        EventKind::Modified => "MODIFIED",
        EventKind::Deleted => "DELETED",
    }
}
