//! The interface between the store and schemas: decoding of stored bytes.

use bytes::Bytes;

use crate::store::ResourceId;

/// The served resources and the decoding of their stored bytes. Implemented by the catalog.
pub trait Decoder: Send + Sync + 'static {
    /// The served resources; the store keeps one cache for each.
    fn resources(&self) -> Vec<ResourceId>;

    /// Decodes one stored value. Called from several threads, once per value.
    ///
    /// # Errors
    /// If the value is not an object of the resource. Requests for it then fail, and the error is
    /// logged for an operator.
    fn decode(&self, resource: &ResourceId, value: &Bytes) -> Result<Decoded, DecodeError>;
}

/// A decoded value.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The properties that the store needs.
    pub head: Head,
    /// The value to serve instead of the stored one, if defaults were added: compact JSON with
    /// sorted keys, no `metadata.resourceVersion`, no trailing newline.
    pub value: Option<Bytes>,
}

/// The properties of an object that selectors read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`, in any order.
    pub labels: Vec<(String, String)>,
    /// Declared selectable fields: path as in field selectors (`spec.model`) and value as text.
    pub fields: Vec<(String, String)>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

/// Why a stored value cannot be decoded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);
