//! Columns of tables.

use api_types::table::ColumnDefinition;
use crd_schema::columns::{Column, ColumnType};

use crate::resources::Served;

/// The description of `metadata.name` in `meta/v1`.
const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, \
    although some resources may allow a client to request the generation of an appropriate name \
    automatically. Name is primarily intended for creation idempotence and configuration \
    definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

/// Column definitions of a table: the name, then the columns of the version.
pub(super) fn definitions(served: &Served) -> Vec<ColumnDefinition> {
    let own = served.version().columns.iter().map(definition);
    std::iter::once(name()).chain(own).collect()
}

/// Columns of the table of a `Scale`.
pub(super) fn of_scale() -> Vec<ColumnDefinition> {
    let replicas = |name: &str, description: &str| ColumnDefinition {
        name: name.to_owned(),
        kind: ColumnType::Integer.name().to_owned(),
        description: description.to_owned(),
        ..ColumnDefinition::default()
    };
    vec![
        name(),
        replicas("Desired", "Number of desired replicas"),
        replicas("Available", "Number of actual replicas"),
        definition(&Column::age()),
    ]
}

fn name() -> ColumnDefinition {
    ColumnDefinition {
        name: "Name".to_owned(),
        kind: ColumnType::String.name().to_owned(),
        format: "name".to_owned(),
        description: NAME.to_owned(),
        priority: 0,
    }
}

fn definition(column: &Column) -> ColumnDefinition {
    ColumnDefinition {
        name: column.name.clone(),
        kind: column.kind.name().to_owned(),
        format: column.format.clone(),
        description: column.description.clone(),
        priority: column.priority,
    }
}
