//! Single documents: objects, scales, Status.

use std::sync::Arc;

use api_types::media_type::{Encoding, MetaVersion, Transform};
use api_types::status::{ApiError, Status};
use api_types::table::{self, IncludeObject, ListMeta};
use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode, Uri};
use jiff::Timestamp;
use kube_json::{Indenter, Members};
use serde_json::Value;

use super::row::Rows;
use super::source::{PIECE, Source, respond};
use super::{Negotiated, columns, partial};
use crate::reply::{self, Layout, SentStatus};
use crate::resources::Served;
use crate::scale::ScaleView;
use crate::store::DecodeError;

/// A complete document.
struct Whole {
    bytes: Bytes,
    sent: usize,
    /// Whether a newline follows the document.
    newline: bool,
}

/// A document that is indented in chunks.
struct Pretty {
    compact: Vec<u8>,
    taken: usize,
    indenter: Indenter,
}

/// Input bytes that are indented per step. At the maximum depth of 10,000 levels one byte may
/// become 20 kB.
const INDENTED: usize = 16;

/// Documents up to this size are indented at once: most responses are smaller, and one chunk is
/// sent faster.
const COPIED: usize = 16 << 10;

/// Encodes an object, given as compact JSON of the served version.
///
/// # Errors
/// If the negotiated representation does not exist for objects.
pub(crate) fn object(
    negotiated: &Negotiated,
    served: &Served,
    status: StatusCode,
    object: &Bytes,
) -> Result<Response<Body>, ApiError> {
    let as_it_is = negotiated.transform() == Transform::None && is_compact_json(negotiated);
    if as_it_is && object.len() > COPIED {
        return shared(negotiated, status, object);
    }
    let mut document = Vec::with_capacity(object.len() + 1);
    match negotiated.transform() {
        Transform::None => document.extend_from_slice(object),
        Transform::PartialObject(version) => {
            write_partial(negotiated, version, object, &mut document)
        }
        Transform::PartialObjectList(_) => {
            return Err(ApiError::internal_plain("content is not a list"));
        }
        Transform::Table(version) => {
            let rows = Rows::new(served.clone(), version, negotiated.include()?);
            let (meta, columns) = (meta_of(object), columns::definitions(served));
            let row = |out: &mut Vec<u8>| rows.object(object, Timestamp::now(), out);
            table::write(version, &meta, Some(&columns), row, &mut document);
        }
    }
    finish(negotiated, status, document)
}

/// Encodes a scale.
///
/// # Errors
/// If the negotiated representation does not exist for scales.
pub(crate) fn scale(
    negotiated: &Negotiated,
    status: StatusCode,
    scale: &ScaleView,
) -> Result<Response<Body>, ApiError> {
    let json = scale.to_json();
    let document = match negotiated.transform() {
        Transform::None => json,
        Transform::PartialObject(version) => {
            let mut document = Vec::with_capacity(json.len());
            write_partial(negotiated, version, &json, &mut document);
            document
        }
        Transform::PartialObjectList(_) => {
            return Err(ApiError::new(
                api_types::status::Reason::NotAcceptable,
                "you requested PartialObjectMetadataList, but the requested object is not a list \
                 (*v1.Scale)",
            ));
        }
        Transform::Table(version) => scale_table(version, negotiated.include()?, scale, &json),
    };
    finish(negotiated, status, document)
}

/// Encodes the Status of a success.
///
/// # Errors
/// If the client asked for a table with an invalid `includeObject`.
pub(crate) fn status(negotiated: &Negotiated, status: &Status) -> Result<Response<Body>, ApiError> {
    // A Status is never a table, but an invalid `includeObject` is still an error.
    negotiated.include()?;
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::OK);
    finish_status(negotiated, code, status)
}

/// The response for a failed request, in the representation that its head asks for.
pub(crate) fn error(headers: &HeaderMap, uri: &Uri, error: &ApiError) -> Response<Body> {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let status = Status {
        code: code.as_u16(),
        ..error.status().clone()
    };
    let response = Negotiated::of_error(headers, uri)
        .and_then(|negotiated| finish_status(&negotiated, code, &status));
    // If negotiation fails, send the original error as JSON instead of the negotiation error.
    let response = response.unwrap_or_else(|_| reply::status(&status, Layout::Indented));
    match error.retry_after() {
        Some(seconds) => reply::retry_after(response, seconds),
        None => response,
    }
}

/// A response with a Status, which its audit event contains as well.
fn finish_status(
    negotiated: &Negotiated,
    code: StatusCode,
    status: &Status,
) -> Result<Response<Body>, ApiError> {
    let mut response = finish(negotiated, code, written(negotiated, status))?;
    let sent = SentStatus(Arc::new(status.clone()));
    response.extensions_mut().insert(sent);
    Ok(response)
}

fn written(negotiated: &Negotiated, status: &Status) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + status.message.len());
    reply::write_status(status, negotiated.encoding(), &mut out);
    out
}

/// Partial metadata as protobuf, or else as compact JSON.
fn write_partial(negotiated: &Negotiated, version: MetaVersion, object: &[u8], out: &mut Vec<u8>) {
    match negotiated.encoding() {
        Encoding::Protobuf => partial::protobuf::write(version, object, out),
        Encoding::Json | Encoding::Yaml => partial::write(version, object, out),
    }
}

/// A response with a document, given as protobuf if that was negotiated, else as compact JSON.
fn finish(
    negotiated: &Negotiated,
    status: StatusCode,
    document: Vec<u8>,
) -> Result<Response<Body>, ApiError> {
    let bytes = match negotiated.encoding() {
        Encoding::Json if negotiated.pretty() && document.len() > COPIED => {
            let pretty = Pretty {
                compact: document,
                taken: 0,
                indenter: Indenter::default(),
            };
            return respond(negotiated, status, pretty);
        }
        Encoding::Json if negotiated.pretty() => kube_json::indent(&document),
        Encoding::Json => {
            let mut json = document;
            json.push(b'\n');
            json
        }
        Encoding::Yaml => kube_json::yaml::to_string(&parse(&document)?).into_bytes(),
        Encoding::Protobuf => document,
    };
    if !negotiated.gzip() || bytes.len() <= PIECE {
        let content_type = http::HeaderValue::from_static(negotiated.encoding().content_type());
        return Ok(reply::body(status, content_type, bytes));
    }
    let whole = Whole {
        bytes: bytes.into(),
        sent: 0,
        newline: false,
    };
    respond(negotiated, status, whole)
}

fn is_compact_json(negotiated: &Negotiated) -> bool {
    negotiated.encoding() == Encoding::Json && !negotiated.pretty()
}

/// A response that shares the cached bytes of a document, so that concurrent clients do not copy
/// it.
fn shared(
    negotiated: &Negotiated,
    status: StatusCode,
    json: &Bytes,
) -> Result<Response<Body>, ApiError> {
    if negotiated.gzip() && json.len() >= PIECE {
        let whole = Whole {
            bytes: json.clone(),
            sent: 0,
            newline: true,
        };
        return respond(negotiated, status, whole);
    }
    let mut response = Response::new(Body::new(reply::Line::new(json.clone())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, reply::JSON);
    Ok(response)
}

fn scale_table(
    version: MetaVersion,
    include: IncludeObject,
    scale: &ScaleView,
    json: &[u8],
) -> Vec<u8> {
    let meta = ListMeta {
        resource_version: scale.resource_version.clone(),
        ..ListMeta::default()
    };
    let created = Some(Value::from(scale.creation_timestamp.as_str()));
    let created = created.filter(|_| !scale.creation_timestamp.is_empty());
    let age = table::cell(created.as_ref(), "date", Timestamp::now());
    let [name, desired, available] = scale.cells();
    let mut carried = Vec::new();
    match include {
        IncludeObject::None => carried.extend_from_slice(b"null"),
        IncludeObject::Metadata => partial::write(version, json, &mut carried),
        IncludeObject::Object => carried.extend_from_slice(json),
    }
    let cells = [name, desired, available, age];
    let row = |out: &mut Vec<u8>| table::write_row(&cells, &carried, out);
    let mut document = Vec::new();
    table::write(
        version,
        &meta,
        Some(&columns::of_scale()),
        row,
        &mut document,
    );
    document
}

/// List metadata of a table with one object.
pub(super) fn meta_of(object: &[u8]) -> ListMeta {
    let metadata = Members::of(object).find(b"metadata").unwrap_or_default();
    let version = Members::of(metadata).find(b"resourceVersion");
    let version = version.map(|quoted| String::from_utf8_lossy(quoted).into_owned());
    ListMeta {
        resource_version: version.unwrap_or_default().trim_matches('"').to_owned(),
        ..ListMeta::default()
    }
}

fn parse(json: &[u8]) -> Result<Value, ApiError> {
    kube_json::reparse(json).map_err(ApiError::internal)
}

impl Source for Pretty {
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, DecodeError> {
        while out.len() <= PIECE && self.taken < self.compact.len() {
            let end = self.compact.len().min(self.taken + INDENTED);
            self.indenter.feed(&self.compact[self.taken..end], out);
            self.taken = end;
        }
        Ok(self.taken < self.compact.len())
    }

    fn retained(&self) -> usize {
        self.compact.len()
    }
}

impl Source for Whole {
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, DecodeError> {
        let end = self.bytes.len().min(self.sent + PIECE + 1);
        out.extend_from_slice(&self.bytes[self.sent..end]);
        self.sent = end;
        let more = end < self.bytes.len();
        if self.newline && !more {
            out.push(b'\n');
        }
        Ok(more)
    }

    fn retained(&self) -> usize {
        self.bytes.len()
    }
}
