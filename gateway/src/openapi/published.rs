//! A document as JSON and protobuf.

use std::sync::OnceLock;

use api_types::media_type;
use http::HeaderValue;
use http::header::ACCEPT;
use http::request::Parts;
use serde_json::Value;

use crate::reply::{self, Document};

/// Documents below this size are not compressed, bytes: the threshold of kube-openapi's handler.
const COMPRESS_FROM: usize = 1400;

/// A version of OpenAPI and its protobuf encoding.
#[derive(Debug)]
pub(super) struct Edition {
    /// Accepted protobuf subtypes; responses have the first.
    subtypes: [&'static str; 2],
    content_type: HeaderValue,
    encode: fn(&Value) -> Vec<u8>,
}

pub(super) static V2: Edition = Edition {
    subtypes: [
        "com.github.proto-openapi.spec.v2.v1.0+protobuf",
        "com.github.proto-openapi.spec.v2@v1.0+protobuf",
    ],
    content_type: HeaderValue::from_static(
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    ),
    encode: crd_schema::openapi::proto::v2,
};

pub(super) static V3: Edition = Edition {
    subtypes: [
        "com.github.proto-openapi.spec.v3.v1.0+protobuf",
        "com.github.proto-openapi.spec.v3@v1.0+protobuf",
    ],
    content_type: HeaderValue::from_static(
        "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
    ),
    encode: crd_schema::openapi::proto::v3,
};

/// Encoding of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Protobuf,
}

/// A document; its protobuf encoding is built at the first request.
#[derive(Debug)]
pub(super) struct Published {
    edition: &'static Edition,
    json: Document,
    protobuf: OnceLock<Document>,
}

impl Edition {
    /// The encoding that the client prefers; none if it accepts neither.
    pub(super) fn encoding(&self, head: &Parts) -> Option<Encoding> {
        let accept = head.headers.get(ACCEPT);
        let accept = accept.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let [current, former] = self.subtypes;
        match media_type::preferred_subtype(accept, &["json", current, former])? {
            "json" => Some(Encoding::Json),
            _ => Some(Encoding::Protobuf),
        }
    }
}

impl Published {
    pub(super) fn new(edition: &'static Edition, document: &Value) -> Self {
        Self {
            edition,
            json: Document::new(kube_json::to_vec(document), COMPRESS_FROM),
            protobuf: OnceLock::new(),
        }
    }

    /// The JSON document, from which the hash is computed.
    pub(super) const fn json(&self) -> &Document {
        &self.json
    }

    /// The document in an encoding, and its content type.
    pub(super) fn document(&self, encoding: Encoding) -> (&Document, HeaderValue) {
        match encoding {
            Encoding::Json => (&self.json, reply::JSON),
            Encoding::Protobuf => {
                let document = self.protobuf.get_or_init(|| {
                    // The bytes were produced here, so they parse. Keeping the parsed value would
                    // cost more memory than parsing it once.
                    let value = kube_json::reparse(self.json.bytes()).unwrap_or(Value::Null);
                    self.json.encoded_as((self.edition.encode)(&value))
                });
                (document, self.edition.content_type.clone())
            }
        }
    }
}

/// The index, which exists as JSON only.
pub(super) fn plain(document: &Value) -> Document {
    Document::new(kube_json::to_vec(document), COMPRESS_FROM)
}
