//! `Scale` of `autoscaling/v1`: the representation of an object in the scale subresource.

use api_types::meta::Meta;
use crd_schema::ScalePaths;
use crd_schema::scale::{self, AccessError};
use kube_json::ObjectWriter;
use serde_json::Value;

/// A scale, extracted from an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScaleView {
    pub name: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub uid: String,
    /// Empty for an object that is not stored.
    pub resource_version: String,
    /// `metadata.creationTimestamp` as text.
    pub creation_timestamp: String,
    /// Desired replicas; none if the object does not set them.
    pub spec_replicas: Option<i64>,
    /// Observed replicas.
    pub status_replicas: i64,
    /// Label selector of the replicas; may be empty.
    pub selector: String,
}

impl ScaleView {
    /// Extracts the scale of an object.
    ///
    /// # Errors
    /// If a value at one of the paths has the wrong type.
    pub(crate) fn of(object: &Value, paths: &ScalePaths) -> Result<Self, AccessError> {
        let meta = Meta::of(object);
        let created = meta.get("creationTimestamp").and_then(Value::as_str);
        let selector = match &paths.label_selector {
            Some(path) => scale::text(object, path)?,
            None => None,
        };
        Ok(Self {
            name: meta.name().to_owned(),
            namespace: meta.namespace().to_owned(),
            uid: meta.uid().to_owned(),
            resource_version: meta.resource_version().to_owned(),
            creation_timestamp: created.unwrap_or_default().to_owned(),
            spec_replicas: scale::integer(object, &paths.spec_replicas)?,
            status_replicas: scale::integer(object, &paths.status_replicas)?.unwrap_or(0),
            selector: selector.unwrap_or_default().to_owned(),
        })
    }

    /// The compact document, with the field order of Go's structs.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(384);
        let mut scale = ObjectWriter::begin(&mut out);
        scale.string("kind", "Scale");
        scale.string("apiVersion", "autoscaling/v1");
        let mut metadata = scale.object("metadata");
        metadata.string_unless_empty("name", &self.name);
        metadata.string_unless_empty("namespace", &self.namespace);
        metadata.string_unless_empty("uid", &self.uid);
        metadata.string_unless_empty("resourceVersion", &self.resource_version);
        metadata.string_unless_empty("creationTimestamp", &self.creation_timestamp);
        metadata.end();
        let mut spec = scale.object("spec");
        if let Some(replicas) = self.shown_replicas() {
            spec.integer("replicas", replicas);
        }
        spec.end();
        let mut status = scale.object("status");
        status.integer("replicas", int32(self.status_replicas));
        status.string_unless_empty("selector", &self.selector);
        status.end();
        scale.end();
        out
    }

    /// The cells of a table row without the age.
    pub(crate) fn cells(&self) -> [Value; 3] {
        [
            Value::from(self.name.as_str()),
            self.shown_replicas().map_or(Value::Null, Value::from),
            Value::from(int32(self.status_replicas)),
        ]
    }

    /// Desired replicas as encoded: omitted if zero or absent.
    fn shown_replicas(&self) -> Option<i64> {
        self.spec_replicas.map(int32).filter(|count| *count != 0)
    }
}

/// Truncates to 32 bits, as Go does.
#[expect(clippy::cast_possible_truncation, reason = "that is what is shown")]
const fn int32(number: i64) -> i64 {
    number as i32 as i64
}
