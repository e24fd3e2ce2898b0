//! Content negotiation: the representation that the head of a request asks for.

use api_types::media_type::{self, Encoding, Endpoint, Transform};
use api_types::status::ApiError;
use api_types::table::IncludeObject;
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Uri};

/// The negotiated representation of a response.
#[derive(Clone, Debug)]
pub(crate) struct Negotiated {
    media_type: media_type::Negotiated,
    /// Whether the client accepts gzip.
    gzip: bool,
    /// Checked only when a table is written: without a table an invalid value is ignored, and a
    /// write must not fail after it was committed.
    include: Result<IncludeObject, ApiError>,
}

impl Negotiated {
    /// The representation of an object, a list or the Status of a success.
    ///
    /// # Errors
    /// 406 if no acceptable representation exists.
    pub(crate) fn of(head: &Parts) -> Result<Self, ApiError> {
        Self::negotiate(&head.headers, &head.uri, Endpoint::Resource)
    }

    /// The representation of an error.
    ///
    /// # Errors
    /// 406 if no acceptable representation exists for errors.
    pub(super) fn of_error(headers: &HeaderMap, uri: &Uri) -> Result<Self, ApiError> {
        Self::negotiate(headers, uri, Endpoint::Error)
    }

    /// The representation of watch events.
    ///
    /// # Errors
    /// 406 if events cannot be encoded in it.
    pub(super) fn for_watch(self) -> Result<Self, ApiError> {
        Ok(Self {
            media_type: self.media_type.for_watch()?,
            ..self
        })
    }

    /// Encoding weight of an object of this size: 0 if the stored bytes are sent unchanged.
    pub(crate) fn weight(&self, bytes: usize) -> usize {
        let as_stored = self.encoding() == Encoding::Json
            && self.transform() == Transform::None
            && !self.pretty();
        if as_stored { 0 } else { bytes }
    }

    /// The encoding of the response.
    pub(crate) const fn encoding(&self) -> Encoding {
        self.media_type.encoding
    }

    pub(super) const fn transform(&self) -> Transform {
        self.media_type.transform
    }

    pub(super) const fn pretty(&self) -> bool {
        self.media_type.pretty
    }

    pub(super) const fn gzip(&self) -> bool {
        self.gzip
    }

    /// The objects that table rows include.
    ///
    /// # Errors
    /// 400 if `includeObject` is invalid.
    pub(super) fn include(&self) -> Result<IncludeObject, ApiError> {
        self.include.clone()
    }

    fn negotiate(headers: &HeaderMap, uri: &Uri, endpoint: Endpoint) -> Result<Self, ApiError> {
        let query = uri.query().unwrap_or_default();
        let (accept, agent) = (text(headers, &ACCEPT), text(headers, &USER_AGENT));
        let chosen = media_type::negotiate(accept, query, agent, endpoint)?;
        let include = match chosen.transform {
            Transform::Table(_) => IncludeObject::parse(query),
            _ => Ok(IncludeObject::default()),
        };
        let mut encodings = text(headers, &ACCEPT_ENCODING).split(',');
        Ok(Self {
            media_type: chosen,
            gzip: encodings.any(|encoding| encoding.trim() == "gzip"),
            include,
        })
    }
}

/// The first value of a header; empty if absent or not text.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    let value = headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
