//! Documents that are prepared once and sent many times.

use std::io::Write as _;
use std::sync::OnceLock;

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use ring::digest::{SHA512, digest};

/// Bytes with their hash; compressed at the first request that accepts gzip.
#[derive(Debug)]
pub struct Document {
    bytes: Bytes,
    hash: String,
    etag: HeaderValue,
    compress_from: usize,
    compressed: OnceLock<Bytes>,
}

impl Document {
    /// A document that is compressed on request if it has at least `compress_from` bytes.
    pub fn new(bytes: impl Into<Bytes>, compress_from: usize) -> Self {
        let bytes = bytes.into();
        let hash: String = digest(&SHA512, &bytes)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        Self {
            etag: HeaderValue::from_str(&format!("\"{hash}\""))
                .unwrap_or(HeaderValue::from_static("\"\"")),
            hash,
            bytes,
            compress_from,
            compressed: OnceLock::new(),
        }
    }

    /// The document in another encoding. It shares the hash, because `Vary` distinguishes the
    /// encodings.
    #[must_use]
    pub fn encoded_as(&self, bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            hash: self.hash.clone(),
            etag: self.etag.clone(),
            compress_from: self.compress_from,
            compressed: OnceLock::new(),
        }
    }

    /// The uncompressed bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// SHA-512 of the bytes in upper-case hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The hash in quotes.
    pub const fn etag(&self) -> &HeaderValue {
        &self.etag
    }

    /// Whether `If-None-Match` in `headers` matches this document.
    pub fn is_known(&self, headers: &HeaderMap) -> bool {
        headers.get_all(IF_NONE_MATCH).iter().any(|known| {
            let mut tags = known.as_bytes().split(|byte| *byte == b',');
            tags.any(|tag| {
                let tag = tag.trim_ascii();
                tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == self.etag.as_bytes()
            })
        })
    }

    /// 200 with the bytes, compressed if the client accepts gzip.
    pub fn respond(&self, headers: &HeaderMap, content_type: HeaderValue) -> Response<Body> {
        let compressed = self.bytes.len() >= self.compress_from && takes_gzip(headers);
        let bytes = if compressed {
            self.compressed.get_or_init(|| compress(&self.bytes))
        } else {
            &self.bytes
        };
        let mut response = Response::new(Body::from(bytes.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, content_type);
        if compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        response
    }

    /// 304 without a body.
    pub fn not_modified(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        headers.remove(CONTENT_LENGTH);
        response
    }
}

/// Whether `Accept-Encoding` names gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter();
    let mut values = values.filter_map(|value| value.to_str().ok());
    values.any(|value| {
        value.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|it| it.eq_ignore_ascii_case("gzip"));
            let mut qualities = parts.filter_map(|it| it.strip_prefix("q="));
            named && !qualities.any(|quality| quality.parse() == Ok(0.0))
        })
    })
}

fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    // Writing to memory cannot fail.
    written.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt as _;

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn matching_etag_is_recognized() {
        let document = Document::new("hello", 0);
        let quoted = document.etag().to_str().unwrap();
        assert_eq!(quoted, format!("\"{}\"", document.hash()));
        assert!(quoted.starts_with("\"9B71D224BD62F378"), "{quoted}");
        for known in [
            quoted.to_owned(),
            format!("\"x\", W/{quoted}"),
            "*".to_owned(),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, known.parse().unwrap());
            assert!(document.is_known(&headers), "{known}");
        }
        assert!(!document.is_known(&headers("if-none-match", "\"x\"")));
        assert!(!document.is_known(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn large_documents_are_compressed_for_clients_that_accept_gzip() {
        for (value, size, compressed) in [
            ("gzip", 4000, true),
            ("deflate, GZIP;q=0.5", 4000, true),
            ("gzip;q=0", 4000, false),
            ("gzip", 10, false),
            ("identity", 4000, false),
        ] {
            let text = "a".repeat(size);
            let document = Document::new(text.clone(), 1400);
            let response = document.respond(&headers("accept-encoding", value), crate::reply::JSON);
            let gzip = response.headers().contains_key(CONTENT_ENCODING);
            assert_eq!(gzip, compressed, "{value} {size}");
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let mut read = String::new();
            if gzip {
                let mut decoder = flate2::read::GzDecoder::new(&*bytes);
                decoder.read_to_string(&mut read).unwrap();
            } else {
                read = String::from_utf8(bytes.to_vec()).unwrap();
            }
            assert_eq!(read, text);
        }
    }
}
