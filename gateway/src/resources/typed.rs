//! Schemas of server-side apply, from the schemas of definitions.

use std::sync::Arc;

use crd_schema::Structural;
use crd_schema::structural::{Additional, Kind, ListType, MapType};
use serde_json::Value;
use structured_merge::{
    Additional as MergeAdditional, Kind as MergeKind, ListKind, MapKind, Options, Schema,
    Structural as Description, StructuralError, TypeId, TypedValue, ValidationErrors,
};

/// Levels of an object whose fields are tracked. Entries nest as deep as the object, below four
/// levels of metadata, and must be readable as well.
pub(crate) const MAX_DEPTH: usize = kube_json::MAX_DEPTH - 8;

/// How the objects of one version are merged.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    schema: Schema,
    root: TypeId,
}

impl Typed {
    /// The merge schema of a version.
    ///
    /// # Errors
    /// If the schema is nested too deeply, or a list has no schema for its items.
    pub(super) fn compile(schema: &Structural) -> Result<Self, StructuralError> {
        let mut root = describe(schema);
        // The root has the metadata of an object, like an embedded resource.
        root.embedded_resource = true;
        let (schema, root) = root.compile()?;
        Ok(Self { schema, root })
    }

    /// Without a schema: maps are merged, lists are replaced.
    pub(super) fn deduced() -> Result<Self, StructuralError> {
        let root = Description {
            preserve_unknown_fields: true,
            embedded_resource: true,
            ..Description::of(MergeKind::Object)
        };
        let (schema, root) = root.compile()?;
        Ok(Self { schema, root })
    }

    /// How a Scale of `autoscaling/v1` is merged.
    pub(crate) fn scale() -> Result<Self, StructuralError> {
        let integer = || Description::of(MergeKind::Integer);
        let map = |properties: Vec<(&str, Description)>| {
            let properties = properties.into_iter();
            Description {
                properties: properties.map(|(name, it)| (name.to_owned(), it)).collect(),
                ..Description::of(MergeKind::Object)
            }
        };
        let status = vec![
            ("replicas", integer()),
            ("selector", Description::of(MergeKind::String)),
        ];
        let mut root = map(vec![
            ("spec", map(vec![("replicas", integer())])),
            ("status", map(status)),
        ]);
        root.embedded_resource = true;
        let (schema, root) = root.compile()?;
        Ok(Self { schema, root })
    }

    /// A stored object, or one that a client wrote: list items may be repeated.
    ///
    /// # Errors
    /// If the object does not conform to the schema.
    pub(crate) fn written(
        &self,
        object: impl Into<Arc<Value>>,
    ) -> Result<TypedValue, ValidationErrors> {
        let options = Options {
            duplicates: true,
            depth: MAX_DEPTH,
        };
        TypedValue::with_options(object, &self.schema, self.root, options)
    }

    /// An applied configuration.
    ///
    /// # Errors
    /// If it does not conform to the schema.
    pub(crate) fn applied(
        &self,
        config: impl Into<Arc<Value>>,
    ) -> Result<TypedValue, ValidationErrors> {
        let options = Options {
            duplicates: false,
            depth: MAX_DEPTH,
        };
        TypedValue::with_options(config, &self.schema, self.root, options)
    }

    /// The schema, whose names field sets share.
    pub(crate) const fn schema(&self) -> &Schema {
        &self.schema
    }
}

// bounded: by the depth of the schema, which is limited when the manifest is loaded
fn describe(schema: &Structural) -> Description {
    let extensions = &schema.extensions;
    let properties = schema.properties.iter();
    Description {
        kind: schema
            .kind
            .filter(|_| !extensions.int_or_string)
            .map(|kind| match kind {
                Kind::Array => MergeKind::Array,
                Kind::Boolean => MergeKind::Boolean,
                Kind::Integer => MergeKind::Integer,
                Kind::Number => MergeKind::Number,
                Kind::Object => MergeKind::Object,
                Kind::String => MergeKind::String,
            }),
        format: schema.rules.format.clone(),
        default: schema.default.clone(),
        properties: properties
            .map(|(name, below)| (name.clone(), describe(below)))
            .collect(),
        additional: match &schema.additional_properties {
            None => MergeAdditional::Unset,
            Some(Additional::Any(any)) => MergeAdditional::Any(*any),
            Some(Additional::Schema(below)) => MergeAdditional::Schema(Box::new(describe(below))),
        },
        items: schema.items.as_deref().map(|it| Box::new(describe(it))),
        list: extensions.list_type.map(|list| match list {
            ListType::Atomic => ListKind::Atomic,
            ListType::Set => ListKind::Set,
            ListType::Map => ListKind::Map(extensions.list_map_keys.clone()),
        }),
        map: extensions.map_type.map(|map| match map {
            MapType::Atomic => MapKind::Atomic,
            MapType::Granular => MapKind::Granular,
        }),
        preserve_unknown_fields: extensions.preserve_unknown_fields,
        embedded_resource: extensions.embedded_resource,
    }
}
