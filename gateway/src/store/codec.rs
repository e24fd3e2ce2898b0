//! The store's view of a schema: how stored bytes become an object.

use bytes::Bytes;

use crate::store::ResourceId;

/// Knows the resources and how their stored bytes are read. Implemented by the catalog.
pub trait Codec: Send + Sync + 'static {
    /// The resources to serve; the store keeps one cache for each.
    fn resources(&self) -> Vec<ResourceId>;

    /// Reads one stored value. Called from several threads, once per value.
    ///
    /// # Errors
    /// If the value is no object of the resource; whoever asks for it is then told, and the trouble
    /// is logged, as a person must look.
    fn decode(&self, resource: &ResourceId, value: &Bytes) -> Result<Decoded, DecodeError>;
}

/// What became of a stored value.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// What the store needs to know of the object.
    pub head: Head,
    /// The value to serve instead of the stored one, if defaults were added: compact JSON with
    /// sorted keys, no `metadata.resourceVersion`, no trailing newline.
    pub value: Option<Bytes>,
}

/// The parts of an object that selectors look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`, in any order.
    pub labels: Vec<(String, String)>,
    /// Declared selectable fields: path as clients write it (`spec.model`) and rendered value.
    pub fields: Vec<(String, String)>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

/// Why a stored value cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);
