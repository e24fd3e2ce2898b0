//! The Scale of a client, and its effect on an object.

use api_types::media_type::Format;
use api_types::meta::Meta;
use api_types::options::FieldValidation;
use api_types::status::ApiError;
use crd_schema::ScalePaths;
use crd_schema::coerce::{self, Mode};
use serde_json::{Map, Value, json};

use super::ScaleView;
use crate::request::Warnings;

/// Sentinel for absent replicas, as in kube-apiserver, which rejects a Scale without replicas.
const NOTHING: i32 = i32::MIN;

/// The fields of a client's Scale.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScaleObject {
    pub name: String,
    pub namespace: String,
    /// `metadata.uid`: a precondition if not empty.
    pub uid: String,
    /// `metadata.resourceVersion`: a precondition if not empty.
    pub resource_version: String,
    pub replicas: i32,
    /// Whether the Scale names its version.
    pub has_version: bool,
    /// Metadata as read; labels and annotations have no effect.
    metadata: Option<Value>,
    /// Status as read, which has no effect.
    status: Status,
}

/// Observed replicas of a client's Scale.
#[derive(Debug, Clone, Default)]
struct Status {
    replicas: i32,
    selector: String,
}

/// The Scale in the body of a PUT.
///
/// # Errors
/// 400 without a reason, as in kube-apiserver.
pub(crate) fn from_body(
    format: Format,
    body: &[u8],
    validation: FieldValidation,
    warnings: &Warnings,
) -> Result<ScaleObject, ApiError> {
    let rejected = || {
        ApiError::bad_request(
            "no kind is registered for the type v1.Scale in scheme \"pkg/runtime/scheme.go:111\"",
        )
    };
    let parsed = match format {
        Format::Json => kube_json::parse(body),
        Format::Yaml => kube_json::yaml::parse(body),
    };
    let parsed = parsed.map_err(|error| ApiError::unparsed(error, |_| rejected()))?;
    let text = |key: &str| parsed.value.get(key).and_then(|it| it.as_str());
    let named = (text("apiVersion").unwrap_or(""), text("kind").unwrap_or(""));
    if !["", "autoscaling/v1"].contains(&named.0) || !["", "Scale"].contains(&named.1) {
        return Err(rejected());
    }
    let (scale, unknown) = ScaleObject::read(&parsed.value).map_err(|_| rejected())?;
    match validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => warnings.extend(unknown),
        FieldValidation::Strict if unknown.is_empty() => {}
        FieldValidation::Strict => return Err(rejected()),
    }
    Ok(scale)
}

/// The Scale of an object as a tree, for patches.
///
/// # Errors
/// A plain 500 if a value on a path has the wrong type.
pub(crate) fn document(object: &Value, paths: &ScalePaths) -> Result<Value, ApiError> {
    let mut scale = ScaleView::of(object, paths)
        .map_err(|error| ApiError::internal_plain(error.to_string()))?;
    scale.spec_replicas.get_or_insert(i64::from(NOTHING));
    kube_json::reparse(&scale.to_json()).map_err(ApiError::internal)
}

/// The Scale of an object as a tree, for admission.
///
/// # Errors
/// A plain 500 if a value on a path has the wrong type.
pub(crate) fn view(object: &Value, paths: &ScalePaths) -> Result<Value, ApiError> {
    let scale = ScaleView::of(object, paths)
        .map_err(|error| ApiError::internal_plain(error.to_string()))?;
    kube_json::reparse(&scale.to_json()).map_err(ApiError::internal)
}

/// The object with the replicas of a Scale that admission changed.
///
/// # Errors
/// 500 if the Scale is malformed or names no replicas.
pub(crate) fn apply_view(
    object: &Value,
    scale: &Value,
    paths: &ScalePaths,
) -> Result<Value, ApiError> {
    let (scale, _) = ScaleObject::read(scale).map_err(ApiError::internal)?;
    scale.apply(object, paths)
}

impl ScaleObject {
    /// The Scale as a tree, for its audit event.
    pub(crate) fn to_value(&self) -> Value {
        let mut spec = Map::new();
        if self.replicas != 0 {
            spec.insert("replicas".to_owned(), self.replicas.into());
        }
        let mut status = Map::new();
        status.insert("replicas".to_owned(), self.status.replicas.into());
        if !self.status.selector.is_empty() {
            status.insert("selector".to_owned(), self.status.selector.as_str().into());
        }
        let metadata = self.metadata.clone();
        json!({
            "kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": metadata.unwrap_or_else(|| json!({})), "spec": spec, "status": status,
        })
    }

    /// Parses a Scale; also returns its unknown fields.
    ///
    /// # Errors
    /// The text of Go's decoder for a value of the wrong type.
    pub(crate) fn read(tree: &Value) -> Result<(Self, Vec<String>), String> {
        let map = expect_map(tree, "Scale", "", "v1.Scale")?;
        let mut head = Value::Object(Map::new());
        if let Some(metadata) = map.get("metadata") {
            head["metadata"] = metadata.clone();
        }
        let in_metadata = coerce::root(&mut head, Mode::Strict);
        let in_metadata = in_metadata.map_err(|error| below_metadata(&error.to_string()))?;
        let meta = Meta::of(&head);
        let spec = match map.get("spec") {
            Some(spec) if !spec.is_null() => {
                expect_map(spec, "Scale", "spec", "v1.ScaleSpec")?.clone()
            }
            _ => Map::new(),
        };
        let mut unknown = unknown_fields(
            map,
            "",
            &["kind", "apiVersion", "metadata", "spec", "status"],
        );
        unknown.extend(
            in_metadata
                .iter()
                .map(|path| format!("unknown field \"{path}\"")),
        );
        unknown.extend(unknown_fields(&spec, "spec.", &["replicas"]));
        let replicas = spec.get("replicas").unwrap_or(&Value::Null);
        let status = match map.get("status") {
            Some(status) if !status.is_null() => {
                let status = expect_map(status, "Scale", "status", "v1.ScaleStatus")?;
                unknown.extend(unknown_fields(status, "status.", &["replicas", "selector"]));
                Status::read(status)?
            }
            _ => Status::default(),
        };
        Ok((
            Self {
                name: meta.name().to_owned(),
                namespace: meta.namespace().to_owned(),
                uid: meta.uid().to_owned(),
                resource_version: meta.resource_version().to_owned(),
                replicas: count(replicas, "ScaleSpec.spec")?,
                has_version: map.get("apiVersion").is_some_and(|it| *it != ""),
                metadata: head.get("metadata").cloned(),
                status,
            },
            unknown,
        ))
    }

    /// The object with the desired replicas.
    ///
    /// # Errors
    /// 400 if replicas are absent, a plain 500 if a value on the path is not a map.
    pub(crate) fn apply(&self, object: &Value, paths: &ScalePaths) -> Result<Value, ApiError> {
        let path = &paths.spec_replicas;
        if self.replicas == NOTHING {
            return Err(ApiError::bad_request(format!(
                "the spec replicas field {path:?} cannot be empty"
            )));
        }
        let mut object = object.clone();
        crd_schema::scale::set_integer(&mut object, path, i64::from(self.replicas))
            .map_err(|error| ApiError::internal_plain(error.to_string()))?;
        if !self.resource_version.is_empty() {
            object["metadata"]["resourceVersion"] = self.resource_version.as_str().into();
        }
        Ok(object)
    }
}

impl Status {
    fn read(map: &Map<String, Value>) -> Result<Self, String> {
        let replicas = map.get("replicas").unwrap_or(&Value::Null);
        let selector = match map.get("selector") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(selector)) => selector.clone(),
            Some(other) => {
                return Err(format!(
                    "json: cannot unmarshal {} into Go struct field ScaleStatus.status.selector \
                     of type string",
                    kube_json::json_kind(other)
                ));
            }
        };
        Ok(Self {
            replicas: count(replicas, "ScaleStatus.status")?,
            selector,
        })
    }
}

/// An error of metadata alone, as Go's decoder words it for metadata of a Scale.
fn below_metadata(text: &str) -> String {
    const FIELD: &str = "Go struct field ";
    let alone = "Go value of type v1.ObjectMeta";
    let field = text.split_once(FIELD);
    match field.and_then(|(before, rest)| Some((before, rest.split_once('.')?))) {
        Some((before, (owner, name))) => format!("{before}{FIELD}{owner}.metadata.{name}"),
        None => text.replace(
            alone,
            "Go struct field Scale.metadata of type v1.ObjectMeta",
        ),
    }
}

fn unknown_fields(map: &Map<String, Value>, prefix: &str, known: &[&str]) -> Vec<String> {
    let unknown = map.keys().filter(|key| !known.contains(&key.as_str()));
    unknown
        .map(|key| format!("unknown field \"{prefix}{key}\""))
        .collect()
}

fn expect_map<'a>(
    value: &'a Value,
    outer: &str,
    field: &str,
    target: &str,
) -> Result<&'a Map<String, Value>, String> {
    let place = if field.is_empty() {
        format!("value of type {target}")
    } else {
        format!("struct field {outer}.{field} of type {target}")
    };
    value.as_object().ok_or_else(|| {
        format!(
            "json: cannot unmarshal {} into Go {place}",
            kube_json::json_kind(value)
        )
    })
}

fn count(value: &Value, place: &str) -> Result<i32, String> {
    let number = value.as_i64().and_then(|it| i32::try_from(it).ok());
    match (value, number) {
        (Value::Null, _) => Ok(0),
        (_, Some(number)) => Ok(number),
        (value, None) => {
            let shown = match value {
                Value::Number(_) => format!(
                    "number {}",
                    String::from_utf8_lossy(&kube_json::to_vec(value))
                ),
                other => kube_json::json_kind(other).to_owned(),
            };
            Err(format!(
                "json: cannot unmarshal {shown} into Go struct field {place}.replicas of type int32"
            ))
        }
    }
}
