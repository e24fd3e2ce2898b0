//! Watches: events that are encoded while the client reads, and shared by all watchers.

mod body;
mod frame;

use api_types::media_type::Encoding;
use api_types::status::ApiError;
use axum::body::Body;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderValue, Response};
use tokio::time::Instant;

use self::body::Events;
use self::frame::Frames;
use super::Negotiated;
use crate::compute::Client;
use crate::reply::Framing;
use crate::resources::Served;
use crate::store::{StoreError, Watcher};

/// The events of a watch.
pub(crate) struct Source {
    /// The changes, or why there are none. A client error becomes the only event.
    pub watcher: Result<Watcher, StoreError>,
    /// The end of the watch.
    pub deadline: Instant,
    /// The bookmarks among the events.
    pub bookmarks: Bookmarks,
    /// Whether this is a list that is sent as a watch, which may be compressed.
    pub streamed_list: bool,
    /// Where large objects are encoded.
    pub compute: Client,
}

/// The bookmarks that a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bookmarks {
    /// None.
    None,
    /// Regular ones.
    Regular,
    /// As `Regular`, and one after the initial objects.
    WithInitial,
}

/// Responds with a stream of events in a representation of the resource.
///
/// # Errors
/// 406 if events cannot be encoded in the representation, 400 for an invalid `includeObject`, and
/// the errors of the watcher that are not the client's.
pub(crate) fn watch(
    form: Negotiated,
    served: &Served,
    source: Source,
) -> Result<Response<Body>, ApiError> {
    let form = form.for_watch()?;
    let frames = Frames::new(&form, served, source.streamed_list)?;
    let compressed = frames.compressed();
    let events = match source.watcher {
        Ok(watcher) => Events::new(
            watcher,
            frames,
            source.deadline,
            source.bookmarks,
            source.compute,
        ),
        // Client error: respond with 200 and a single ERROR event, as kube-apiserver does.
        Err(error @ (StoreError::Compacted { .. } | StoreError::FutureRevision { .. })) => {
            Events::failed(&error.into(), frames, source.compute)
        }
        Err(error) => return Err(error.into()),
    };
    let mut response = Response::new(events.into_body());
    let headers = response.headers_mut();
    let stream_type = HeaderValue::from_static(form.encoding().stream_type());
    headers.insert(CONTENT_TYPE, stream_type);
    if compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    // A client may have asked for frames of WebSocket instead of a body.
    response.extensions_mut().insert(match form.encoding() {
        Encoding::Protobuf => Framing::LengthPrefixed,
        Encoding::Json | Encoding::Yaml => Framing::Lines,
    });
    Ok(response)
}
