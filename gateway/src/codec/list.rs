//! Lists: encoded object by object while the client reads.

mod protobuf;

use std::sync::Arc;

use api_types::media_type::{Encoding, MetaVersion, Transform};
use api_types::status::{ApiError, Reason};
use api_types::table::{self, ListMeta};
use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use kube_json::{Indenter, ObjectWriter};
use serde_json::Value;

use super::row::Rows;
use super::source::{PIECE, Source, respond_in_turns};
use super::{Negotiated, columns, partial};
use crate::compute::{Client, INLINE, Run, Turn};
use crate::resources::Served;
use crate::store::{DecodeError, Stored};

/// Objects in key order. None marks an object that did not match, so that a walk can yield after
/// any object.
pub(crate) type Objects = Box<dyn Iterator<Item = Option<Arc<Stored>>> + Send>;

/// Content of a list.
pub(crate) struct Page {
    /// Starts at the first object. Every walk yields the same objects.
    pub walk: Box<dyn Fn() -> Objects + Send>,
    /// Revision and continuation of the list.
    pub meta: ListMeta,
}

/// Representation of each object.
struct Shape {
    served: Served,
    shows: Shows,
}

enum Shows {
    Objects,
    Rows(Rows, Timestamp),
    Metadata(MetaVersion),
}

/// A list that is being encoded.
struct List {
    objects: Objects,
    shape: Arc<Shape>,
    script: Script,
    frame: Frame,
    began: bool,
    /// Whether at least one object was written.
    any: bool,
    /// Buffer for the conversion of one object.
    scratch: Vec<u8>,
    /// The next object, if it must be encoded on the pool.
    waiting: Option<Arc<Stored>>,
    /// Unsent text of a large object.
    left: Bytes,
    turn: Turn,
    compute: Client,
}

/// Text format of the list.
enum Script {
    Compact,
    Indented(Indenter),
    Yaml,
}

/// The text around the objects, in the format of the list except for indentation.
struct Frame {
    /// Text up to the colon after the key of the objects.
    head: Vec<u8>,
    /// Text in place of the objects of an empty list.
    empty: &'static [u8],
    tail: Vec<u8>,
}

/// The response for a list.
///
/// # Errors
/// If the negotiated representation does not exist for lists, or the first objects cannot be
/// encoded.
pub(crate) async fn list(
    negotiated: &Negotiated,
    served: &Served,
    page: Page,
    compute: Client,
) -> Result<Response<Body>, ApiError> {
    if let (Encoding::Protobuf, Transform::PartialObjectList(version)) =
        (negotiated.encoding(), negotiated.transform())
    {
        let list = protobuf::List::new(version, page, compute.walks()).await;
        return respond_in_turns(negotiated, StatusCode::OK, list).await;
    }
    let (shows, json) = match negotiated.transform() {
        Transform::None => (Shows::Objects, Frame::of_objects(served, &page.meta)),
        Transform::PartialObjectList(version) => {
            let frame = Frame::of_metadata(version, &page.meta);
            (Shows::Metadata(version), frame)
        }
        Transform::Table(version) => {
            let rows = Rows::new(served.clone(), version, negotiated.include()?);
            let frame = Frame::of_rows(version, served, &page.meta);
            (Shows::Rows(rows, Timestamp::now()), frame)
        }
        Transform::PartialObject(_) => {
            return Err(ApiError::new(
                Reason::NotAcceptable,
                "you requested PartialObjectMetadata, but the requested object is a list \
                 (*unstructured.UnstructuredList)",
            ));
        }
    };
    let (script, frame) = match negotiated.encoding() {
        Encoding::Json if negotiated.pretty() => (Script::Indented(Indenter::default()), json),
        // Only partial metadata lists have a protobuf message; other lists are JSON.
        Encoding::Json | Encoding::Protobuf => (Script::Compact, json.with_newline()),
        Encoding::Yaml => (Script::Yaml, json.into_yaml().map_err(ApiError::internal)?),
    };
    let list = List {
        objects: (page.walk)(),
        shape: Arc::new(Shape {
            served: served.clone(),
            shows,
        }),
        script,
        frame,
        began: false,
        any: false,
        scratch: Vec::new(),
        waiting: None,
        left: Bytes::new(),
        turn: compute.walks().begin(),
        compute,
    };
    respond_in_turns(negotiated, StatusCode::OK, list).await
}

impl Source for List {
    async fn prepare(&mut self) -> Result<(), DecodeError> {
        if let Some(object) = self.waiting.take() {
            self.write_elsewhere(object).await?;
        }
        self.turn.renew().await;
        Ok(())
    }

    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, DecodeError> {
        if !std::mem::replace(&mut self.began, true) {
            self.script.text(&self.frame.head, out);
        }
        loop {
            if !self.left.is_empty() {
                let room = (PIECE + 1).saturating_sub(out.len());
                let part = self.left.split_to(self.left.len().min(room));
                out.extend_from_slice(&part);
            }
            if out.len() > PIECE || self.waiting.is_some() {
                return Ok(true);
            }
            let bytes = match self.objects.next() {
                None => {
                    self.end(out);
                    return Ok(false);
                }
                Some(None) => 0,
                Some(Some(object)) => {
                    let first = !std::mem::replace(&mut self.any, true);
                    self.script.separate(first, out);
                    self.object(object, out)?
                }
            };
            if self.turn.spend(bytes) {
                return Ok(true);
            }
        }
    }

    fn rest(&mut self) {
        self.turn.end();
    }

    fn retained(&self) -> usize {
        // Stored bytes that are sent unchanged already belong to the cache.
        let stored = matches!(self.script, Script::Compact) && self.shape.is_stored();
        if stored { 0 } else { self.left.len() }
    }
}

impl List {
    /// Encodes a large object on the pool.
    async fn write_elsewhere(&mut self, object: Arc<Stored>) -> Result<(), DecodeError> {
        let (shape, weight) = (Arc::clone(&self.shape), object.bytes().len());
        let mut script = std::mem::replace(&mut self.script, Script::Compact);
        let write = move |_: &Run| {
            let mut text = Vec::new();
            let written = match script {
                Script::Compact => shape.write(&object, &mut text),
                Script::Indented(_) | Script::Yaml => {
                    let mut json = Vec::new();
                    let shown = shape.write(&object, &mut json);
                    shown.and_then(|()| script.item(&json, &mut text))
                }
            };
            (script, written.map(|()| text))
        };
        let (script, text) = self.compute.run_accepted(weight, write).await;
        self.script = script;
        self.left = text?.into();
        Ok(())
    }

    /// Encodes an object, or queues it for the pool; returns the bytes that were read.
    fn object(&mut self, object: Arc<Stored>, out: &mut Vec<u8>) -> Result<usize, DecodeError> {
        let compact = matches!(self.script, Script::Compact);
        let bytes = object.bytes().len();
        if bytes > INLINE {
            if compact && self.shape.is_stored() {
                self.left = object.bytes().clone();
            } else {
                self.waiting = Some(object);
            }
            return Ok(0);
        }
        if compact {
            self.shape.write(&object, out)?;
            return Ok(if self.shape.is_stored() { 0 } else { bytes });
        }
        self.scratch.clear();
        self.shape.write(&object, &mut self.scratch)?;
        self.script.item(&self.scratch, out)?;
        Ok(bytes)
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.any {
            self.script.close(out);
        } else {
            self.script.text(self.frame.empty, out);
        }
        self.script.text(&self.frame.tail, out);
    }
}

impl Shape {
    fn write(&self, object: &Stored, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match &self.shows {
            Shows::Objects => out.extend_from_slice(&self.served.view(object.bytes())?),
            Shows::Metadata(version) => partial::write(*version, object.bytes(), out),
            Shows::Rows(rows, now) => rows.stored(object, *now, out)?,
        }
        Ok(())
    }

    /// Whether objects are sent as stored.
    fn is_stored(&self) -> bool {
        matches!(self.shows, Shows::Objects) && self.served.is_storage()
    }
}

impl Script {
    /// Appends text of the frame.
    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Compact | Self::Yaml => out.extend_from_slice(text),
            Self::Indented(indenter) => indenter.feed(text, out),
        }
    }

    /// Appends the separator before an object.
    fn separate(&mut self, first: bool, out: &mut Vec<u8>) {
        match (&self, first) {
            (Self::Yaml, true) => out.push(b'\n'),
            (Self::Yaml, false) => {}
            (Self::Compact | Self::Indented(_), true) => self.text(b"[", out),
            (Self::Compact | Self::Indented(_), false) => self.text(b",", out),
        }
    }

    /// Appends an object, given as compact JSON.
    fn item(&mut self, json: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Compact | Self::Indented(_) => self.text(json, out),
            Self::Yaml => {
                // Encoded as an item of a list, because YAML line breaks depend on the indentation.
                let document = Value::from(vec![parse(json)?]);
                out.extend_from_slice(kube_json::yaml::to_string(&document).as_bytes());
            }
        }
        Ok(())
    }

    /// Appends the end of the list.
    fn close(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Compact | Self::Indented(_) => self.text(b"]", out),
            Self::Yaml => {}
        }
    }
}

impl Frame {
    fn of_objects(served: &Served, meta: &ListMeta) -> Self {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        head.extend_from_slice(b"{\"apiVersion\":");
        kube_json::write_string(served.api_version(), &mut head);
        head.extend_from_slice(b",\"items\":");
        tail.extend_from_slice(b",\"kind\":");
        kube_json::write_string(served.list_kind(), &mut tail);
        tail.extend_from_slice(b",\"metadata\":");
        // A map, unlike the metadata of other lists: sorted keys, and `continue` always present.
        let mut metadata = ObjectWriter::begin(&mut tail);
        metadata.string("continue", &meta.continue_token);
        if let Some(count) = meta.remaining_item_count {
            metadata.integer("remainingItemCount", count);
        }
        metadata.string("resourceVersion", &meta.resource_version);
        metadata.end();
        tail.push(b'}');
        Self {
            head,
            empty: b"[]",
            tail,
        }
    }

    fn of_metadata(version: MetaVersion, meta: &ListMeta) -> Self {
        let mut head = Vec::new();
        let mut list = ObjectWriter::begin(&mut head);
        list.string("kind", "PartialObjectMetadataList");
        list.string("apiVersion", version.api_version());
        let mut metadata = list.object("metadata");
        metadata.string_unless_empty("resourceVersion", &meta.resource_version);
        metadata.string_unless_empty("continue", &meta.continue_token);
        if let Some(count) = meta.remaining_item_count {
            metadata.integer("remainingItemCount", count);
        }
        metadata.end();
        list.with("items", |_| {});
        Self {
            head,
            // Go encodes a nil slice as null.
            empty: b"null",
            tail: b"}".to_vec(),
        }
    }

    fn of_rows(version: MetaVersion, served: &Served, meta: &ListMeta) -> Self {
        let mut head = Vec::new();
        let columns = columns::definitions(served);
        table::write(version, meta, Some(&columns), |_| {}, &mut head);
        head.truncate(head.len() - b"[]}".len());
        Self {
            head,
            empty: b"[]",
            tail: b"}".to_vec(),
        }
    }

    fn with_newline(mut self) -> Self {
        self.tail.push(b'\n');
        self
    }

    /// Converts the frame to YAML, where keys are sorted.
    fn into_yaml(self) -> Result<Self, DecodeError> {
        let mut json = self.head;
        json.extend_from_slice(b"[]");
        json.extend_from_slice(&self.tail);
        let text = kube_json::yaml::to_string(&parse(&json)?);
        // Only `apiVersion` precedes `items`, and nothing follows `rows`.
        let at = |key: &str| text.find(key).map(|at| at + key.len());
        let behind_key = at("\nitems:").or_else(|| text.rfind("\nrows:").map(|at| at + 6));
        let (head, rest) = text.split_at(behind_key.unwrap_or(text.len()));
        Ok(Self {
            head: head.into(),
            empty: if self.empty == b"null" {
                b" null\n"
            } else {
                b" []\n"
            },
            tail: rest.strip_prefix(" []\n").unwrap_or(rest).into(),
        })
    }
}

fn parse(json: &[u8]) -> Result<Value, DecodeError> {
    kube_json::reparse(json).map_err(|error| DecodeError(error.to_string()))
}
