//! An object as its scale subresource shows it (`autoscaling/v1` Scale, semantics 2.9).

use api_types::meta::Meta;
use crd_schema::ScalePaths;
use crd_schema::scale::{self, AccessError};
use serde_json::Value;

/// How many replicas an object wants and has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scale {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; empty for cluster-scoped objects.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`; empty after a dry run of a create.
    pub resource_version: String,
    /// `metadata.creationTimestamp`, RFC 3339.
    pub creation_timestamp: String,
    /// Wanted replicas, if the object says.
    pub wanted: Option<i32>,
    /// Actual replicas.
    pub actual: i32,
    /// Selector of the replicas; empty if there is none.
    pub selector: String,
}

impl Scale {
    /// Reads an object.
    ///
    /// # Errors
    /// If something on the way to a value is not what the paths say.
    pub fn of(object: &Value, paths: &ScalePaths) -> Result<Self, AccessError> {
        let meta = Meta::of(object);
        let selector = match &paths.label_selector {
            Some(path) => scale::text(object, path)?.unwrap_or_default(),
            None => "",
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            name: meta.name().to_owned(),
            namespace: meta.namespace().to_owned(),
            uid: meta.uid().to_owned(),
            resource_version: meta.resource_version().to_owned(),
            creation_timestamp: text(meta.get("creationTimestamp")).unwrap_or_default(),
            wanted: scale::integer(object, &paths.spec_replicas)?.map(narrow),
            actual: scale::integer(object, &paths.status_replicas)?.map_or(0, narrow),
            selector: selector.to_owned(),
        })
    }
}

/// Go's conversion to int32.
#[expect(
    clippy::cast_possible_truncation,
    reason = "kube-apiserver truncates, too; what is stored was checked"
)]
const fn narrow(count: i64) -> i32 {
    count as i32
}
