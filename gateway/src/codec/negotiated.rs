//! The form of an answer, as the request's head asks for it.

use api_types::media_type::{self, Encoding, Endpoint, Transform};
use api_types::status::ApiError;
use api_types::table::IncludeObject;
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Uri};

/// The form of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Negotiated {
    media_type: media_type::Negotiated,
    /// Whether the client takes gzip.
    gzip: bool,
    /// Looked at only when a table is written: until then a bad value harms nobody, and a write
    /// that has such an answer is done.
    include: Result<IncludeObject, ApiError>,
}

impl Negotiated {
    /// The form of an object, a list or the Status of a success.
    ///
    /// # Errors
    /// 406 if the client accepts nothing that there is.
    pub(crate) fn of(head: &Parts) -> Result<Self, ApiError> {
        Self::negotiate(&head.headers, &head.uri, Endpoint::Resource)
    }

    /// The form of an error.
    ///
    /// # Errors
    /// 406 if the client accepts nothing that there is for errors.
    pub(super) fn of_error(headers: &HeaderMap, uri: &Uri) -> Result<Self, ApiError> {
        Self::negotiate(headers, uri, Endpoint::Error)
    }

    /// The same for the events of a watch.
    ///
    /// # Errors
    /// 406 if events cannot be written so.
    pub(crate) fn for_watch(self) -> Result<Self, ApiError> {
        Ok(Self {
            media_type: self.media_type.for_watch()?,
            ..self
        })
    }

    /// How heavy it is to write an object of so many bytes: nothing if it leaves as it is stored.
    pub(crate) fn weight(&self, bytes: usize) -> usize {
        let as_stored = self.encoding() == Encoding::Json
            && self.transform() == Transform::None
            && !self.pretty();
        if as_stored { 0 } else { bytes }
    }

    /// How the answer is written.
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

    /// What rows of tables carry.
    ///
    /// # Errors
    /// 400 if the client asked for something else.
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

/// The first value of a header; none if it is no text.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    let value = headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
