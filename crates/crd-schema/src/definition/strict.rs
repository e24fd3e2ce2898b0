//! Fields that a `CustomResourceDefinition` does not have, such as misspelt keywords.
//!
//! kubectl asks kube-apiserver for strict decoding, which rejects them. Schemas below `items` and
//! `additionalProperties` have a decoder of their own that ignores unknown fields; here those are
//! warnings.

use api_types::field::{Error, Path};
use serde_json::{Map, Value};

/// The fields of a value.
#[derive(Clone, Copy)]
enum Shape {
    Any,
    Fields(&'static [(&'static str, Self)]),
    Items(&'static Self),
    /// An `openAPIV3Schema`.
    Schema,
    /// An object whose values are schemas.
    Schemas,
    /// A schema that is decoded leniently, a boolean, or a list of such schemas.
    Lenient,
}

use Shape::{Any, Fields, Items, Lenient, Schema, Schemas};

const MANIFEST: Shape = Fields(&[
    ("apiVersion", Any),
    ("kind", Any),
    ("metadata", METADATA),
    ("spec", SPEC),
    ("status", STATUS),
]);

const METADATA: Shape = Fields(&[
    ("annotations", Any),
    ("creationTimestamp", Any),
    ("deletionGracePeriodSeconds", Any),
    ("deletionTimestamp", Any),
    ("finalizers", Any),
    ("generateName", Any),
    ("generation", Any),
    ("labels", Any),
    ("managedFields", Any),
    ("name", Any),
    ("namespace", Any),
    ("ownerReferences", Any),
    ("resourceVersion", Any),
    ("selfLink", Any),
    ("uid", Any),
]);

const STATUS: Shape = Fields(&[
    ("acceptedNames", NAMES),
    ("conditions", Any),
    ("observedGeneration", Any),
    ("storedVersions", Any),
]);

const SPEC: Shape = Fields(&[
    ("conversion", CONVERSION),
    ("group", Any),
    ("names", NAMES),
    ("preserveUnknownFields", Any),
    ("scope", Any),
    ("versions", Items(&VERSION)),
]);

const CONVERSION: Shape = Fields(&[("strategy", Any), ("webhook", Any)]);

const NAMES: Shape = Fields(&[
    ("categories", Any),
    ("kind", Any),
    ("listKind", Any),
    ("plural", Any),
    ("shortNames", Any),
    ("singular", Any),
]);

const VERSION: Shape = Fields(&[
    ("additionalPrinterColumns", Items(&COLUMN)),
    ("deprecated", Any),
    ("deprecationWarning", Any),
    ("name", Any),
    ("schema", Fields(&[("openAPIV3Schema", Schema)])),
    ("selectableFields", Items(&Fields(&[("jsonPath", Any)]))),
    ("served", Any),
    ("storage", Any),
    (
        "subresources",
        Fields(&[("scale", SCALE), ("status", Fields(&[]))]),
    ),
]);

const COLUMN: Shape = Fields(&[
    ("description", Any),
    ("format", Any),
    ("jsonPath", Any),
    ("name", Any),
    ("priority", Any),
    ("type", Any),
]);

const SCALE: Shape = Fields(&[
    ("labelSelectorPath", Any),
    ("specReplicasPath", Any),
    ("statusReplicasPath", Any),
]);

const SCHEMA: &[(&str, Shape)] = &[
    ("$ref", Any),
    ("$schema", Any),
    ("additionalItems", Lenient),
    ("additionalProperties", Lenient),
    ("allOf", Items(&Schema)),
    ("anyOf", Items(&Schema)),
    ("default", Any),
    ("definitions", Schemas),
    ("dependencies", Any),
    ("description", Any),
    ("enum", Any),
    ("example", Any),
    ("exclusiveMaximum", Any),
    ("exclusiveMinimum", Any),
    (
        "externalDocs",
        Fields(&[("description", Any), ("url", Any)]),
    ),
    ("format", Any),
    ("id", Any),
    ("items", Lenient),
    ("maxItems", Any),
    ("maxLength", Any),
    ("maxProperties", Any),
    ("maximum", Any),
    ("minItems", Any),
    ("minLength", Any),
    ("minProperties", Any),
    ("minimum", Any),
    ("multipleOf", Any),
    ("not", Schema),
    ("nullable", Any),
    ("oneOf", Items(&Schema)),
    ("pattern", Any),
    ("patternProperties", Schemas),
    ("properties", Schemas),
    ("required", Any),
    ("title", Any),
    ("type", Any),
    ("uniqueItems", Any),
    ("x-kubernetes-embedded-resource", Any),
    ("x-kubernetes-int-or-string", Any),
    ("x-kubernetes-list-map-keys", Any),
    ("x-kubernetes-list-type", Any),
    ("x-kubernetes-map-type", Any),
    ("x-kubernetes-preserve-unknown-fields", Any),
    ("x-kubernetes-validations", Items(&RULE)),
];

const RULE: Shape = Fields(&[
    ("fieldPath", Any),
    ("message", Any),
    ("messageExpression", Any),
    ("optionalOldSelf", Any),
    ("reason", Any),
    ("rule", Any),
]);

/// Reports every unknown field of a manifest.
pub(super) fn check(manifest: &Value, errors: &mut Vec<Error>, warnings: &mut Vec<String>) {
    let mut walk = Walk {
        errors,
        warnings,
        lenient: false,
    };
    walk.value(manifest, MANIFEST, &Path::nil());
}

struct Walk<'a> {
    errors: &'a mut Vec<Error>,
    warnings: &'a mut Vec<String>,
    /// Whether kube-apiserver would drop unknown fields here.
    lenient: bool,
}

impl Walk<'_> {
    // bounded: manifests are written by operators, and the parser limits their depth
    fn value(&mut self, value: &Value, shape: Shape, path: &Path<'_>) {
        match (shape, value) {
            (Fields(known), Value::Object(map)) => self.fields(map, known, path),
            (Schema, Value::Object(map)) => self.fields(map, SCHEMA, path),
            (Schemas, Value::Object(map)) => {
                for (name, value) in map {
                    self.value(value, Schema, &path.key(name));
                }
            }
            (Items(shape), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, *shape, &path.index(index));
                }
            }
            (Lenient, Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, Lenient, &path.index(index));
                }
            }
            (Lenient, Value::Object(map)) => {
                let before = std::mem::replace(&mut self.lenient, true);
                self.fields(map, SCHEMA, path);
                self.lenient = before;
            }
            // Values of other types are reported where they are read.
            (Any | Fields(_) | Items(_) | Schema | Schemas | Lenient, _) => {}
        }
    }

    fn fields(&mut self, map: &Map<String, Value>, known: &[(&str, Shape)], path: &Path<'_>) {
        for (key, value) in map {
            let path = path.child(key);
            // bounded: the tables have at most 44 rows
            match known.iter().find(|(name, _)| name == key) {
                Some((_, shape)) => self.value(value, *shape, &path),
                None if self.lenient => {
                    let warning = format!("{path}: unknown field, ignored; check its spelling");
                    self.warnings.push(warning);
                }
                None => {
                    let detail = "unknown field; check its spelling";
                    self.errors.push(Error::forbidden(path, detail));
                }
            }
        }
    }
}
