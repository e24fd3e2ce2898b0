//! A document in the two forms that clients ask for.

use std::sync::OnceLock;

use api_types::media_type;
use http::HeaderValue;
use http::header::ACCEPT;
use http::request::Parts;
use serde_json::Value;

use crate::reply::{self, Document};

/// Below this size compression costs more than it saves; kube-apiserver's threshold here.
const COMPRESS_FROM: usize = 1400;

/// A version of OpenAPI, and how its documents are written as protobuf.
#[derive(Debug)]
pub(super) struct Edition {
    /// The subtypes that name protobuf, the one that answers carry first.
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

/// What a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Protobuf,
}

/// A document, as protobuf once somebody has asked for that.
#[derive(Debug)]
pub(super) struct Published {
    edition: &'static Edition,
    json: Document,
    protobuf: OnceLock<Document>,
}

impl Edition {
    /// The form that the client prefers, if there is any.
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

    /// The document that hashes are made of.
    pub(super) const fn json(&self) -> &Document {
        &self.json
    }

    /// The document in a form, and the name of the form.
    pub(super) fn document(&self, encoding: Encoding) -> (&Document, HeaderValue) {
        match encoding {
            Encoding::Json => (&self.json, reply::JSON),
            Encoding::Protobuf => {
                let document = self.protobuf.get_or_init(|| {
                    // What was just written can be read; the value itself is not worth keeping.
                    let value = kube_json::reparse(self.json.bytes()).unwrap_or(Value::Null);
                    self.json.encoded_as((self.edition.encode)(&value))
                });
                (document, self.edition.content_type.clone())
            }
        }
    }
}

/// The index: it has one form.
pub(super) fn plain(document: &Value) -> Document {
    Document::new(kube_json::to_vec(document), COMPRESS_FROM)
}
