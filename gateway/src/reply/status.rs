//! Status objects. Nothing else writes one.

use std::sync::Arc;

use api_types::media_type::Encoding;
use api_types::status::Status;
use axum::body::Body;
use http::{Response, StatusCode};

use super::{JSON, SentStatus, body};

/// Layout of a Status whose representation is not negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One line.
    Line,
    /// Indented by two spaces.
    Indented,
}

/// A response with a Status as JSON, for requests whose representation was not negotiated.
pub fn status(status: &Status, layout: Layout) -> Response<Body> {
    let mut json = Vec::with_capacity(256 + status.message.len());
    write_status(status, Encoding::Json, &mut json);
    let json = match layout {
        Layout::Line => {
            json.push(b'\n');
            json
        }
        Layout::Indented => kube_json::indent(&json),
    };
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = body(code, JSON, json);
    let sent = SentStatus(Arc::new(status.clone()));
    response.extensions_mut().insert(sent);
    response
}

/// Appends a Status as protobuf, or else as compact JSON.
pub fn write_status(status: &Status, encoding: Encoding, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Protobuf => status.write_protobuf(out),
        Encoding::Json | Encoding::Yaml => status.write(out),
    }
}
