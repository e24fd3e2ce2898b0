//! Decodes a body into an object of the requested version: parse, coerce metadata, prune, drop
//! nulls, apply defaults, and collect the errors of strict decoding.
//!
//! Order and texts: `k8s.io/apiserver/pkg/endpoints/handlers/{create,rest}.go` and the decoder in
//! `k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go`.

mod missing;

use api_types::gvk::GroupVersion;
use api_types::media_type::Format;
use api_types::options::FieldValidation;
use api_types::status::ApiError;
use crd_schema::coerce::{self, Mode};
use crd_schema::{Structural, default, nulls, prune};
use kube_json::{ParseError, Parsed};
use serde_json::Value;

use crate::compute::INLINE;
use crate::request::Warnings;
use crate::resources::Served;

/// Decoding time of a byte of YAML, relative to a byte of JSON.
const YAML_COST: usize = 8;

/// A decoded object.
#[derive(Debug)]
pub(crate) struct Clean {
    /// The object, with defaults.
    pub object: Value,
    /// Fields that are not in the schema, in the format of strict decoding.
    pub unknown: Vec<String>,
}

/// Why a tree is not an object of the resource.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// The tree names no kind; contains the tree as text.
    #[error("Object 'Kind' is missing in '{0}'")]
    NoKind(String),
    /// `apiVersion` has too many parts.
    #[error("unexpected GroupVersion string: {0}")]
    NoVersion(String),
    /// A metadata field has the wrong type.
    #[error("{0}")]
    Malformed(String),
    /// The object with its defaults exceeds the size limit.
    #[error(transparent)]
    TooLarge(#[from] default::TooLarge),
}

/// Decodes the body of a request. Adds warnings for unknown and duplicate fields, unless validation
/// is `Ignore`.
///
/// # Errors
/// 400, with kube-apiserver's text.
pub(crate) fn body(
    served: &Served,
    format: Format,
    body: &[u8],
    validation: FieldValidation,
    warnings: &Warnings,
) -> Result<Value, ApiError> {
    let undecodable = |problem: String| {
        let summary = missing::summary(body);
        unrecognized(served, &format!("{problem} ({summary})"))
    };
    let Parsed {
        mut value,
        duplicates,
    } = parse(format, body).map_err(|error| ApiError::unparsed(error, undecodable))?;
    if served.resource().is_built_in() {
        complete_type(served, &mut value);
    }
    missing::interpret(&value).map_err(undecodable)?;
    let named = Named::of(&value);
    let version = named.version();
    let Clean { object, unknown } = match clean(served, value) {
        Ok(clean) => clean,
        Err(unfit @ Unfit::Malformed(_)) => {
            return Err(unhandled(served, &named, &version, &unfit));
        }
        Err(Unfit::TooLarge(error)) => return Err(ApiError::too_large(error)),
        Err(unfit) => {
            let unfit = match (unfit, format) {
                (Unfit::NoKind(_), Format::Json) => {
                    Unfit::NoKind(String::from_utf8_lossy(body).into_owned())
                }
                (unfit, _) => unfit,
            };
            let summary = missing::summary(body);
            return Err(unrecognized(served, &format!("{unfit} ({summary})")));
        }
    };
    let problems = problems(format, duplicates, unknown);
    match validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => warnings.extend(problems),
        FieldValidation::Strict if problems.is_empty() => {}
        FieldValidation::Strict => {
            let strict = strict(format, &problems);
            return Err(unhandled(served, &named, &version, &strict));
        }
    }
    if named.api_version != served.api_version() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            named.api_version,
            served.api_version()
        )));
    }
    Ok(object)
}

/// Decodes a tree as an object of its own version and kind. Trees of other kinds keep everything
/// but their metadata unchanged.
///
/// # Errors
/// If the tree names no kind, its metadata is malformed, or its defaults exceed the size limit of a
/// request.
pub(crate) fn clean(served: &Served, object: Value) -> Result<Clean, Unfit> {
    complete(served, object, false)
}

/// As [`clean`], for an object that an apply merged. kube-apiserver decodes no such object: unknown
/// fields and nulls are validated and counted as changes, and only [`Served::prune_merged`] removes
/// them.
///
/// # Errors
/// As [`clean`].
pub(crate) fn merged(served: &Served, object: Value) -> Result<Value, Unfit> {
    complete(served, object, true).map(|clean| clean.object)
}

fn complete(served: &Served, mut object: Value, merged: bool) -> Result<Clean, Unfit> {
    missing::interpret(&object).map_err(Unfit::Malformed)?;
    let named = Named::of(&object);
    if named.unreadable() {
        return Err(Unfit::NoVersion(named.api_version));
    }
    if named.kind.is_empty() {
        let json = String::from_utf8_lossy(&kube_json::to_vec(&object)).into_owned();
        return Err(Unfit::NoKind(json));
    }
    if object.get("apiVersion").is_some_and(Value::is_null) {
        let text = ".apiVersion accessor error: <nil> is of the type <nil>, expected string";
        return Err(Unfit::Malformed(text.to_owned()));
    }
    let malformed = |error: coerce::CoerceError| Unfit::Malformed(error.to_string());
    let mut unknown = coerce::root(&mut object, Mode::Strict).map_err(malformed)?;
    let nothing = Structural::default();
    if named.is_kind_of(served) {
        // An unknown version has no known fields.
        let schema = named.schema(served).unwrap_or(&nothing);
        if !merged {
            unknown.extend(prune::prune(&mut object, schema));
            nulls::drop_nulls(&mut object, schema);
        }
        unknown.extend(coerce::embedded(&mut object, schema, Mode::Strict).map_err(malformed)?);
        default::apply(&mut object, schema, served.resource().body_limit())?;
    }
    let unknown = unknown
        .into_iter()
        .map(|path| format!("unknown field \"{path}\""));
    Ok(Clean {
        object,
        unknown: unknown.collect(),
    })
}

/// Applies defaults and prunes again after mutating admission changed the object.
///
/// # Errors
/// If the metadata is malformed, or the defaults exceed the size limit of a request.
pub(crate) fn default_again(served: &Served, object: &mut Value) -> Result<(), ApiError> {
    let changed = std::mem::take(object);
    let clean = clean(served, changed).map_err(|unfit| match unfit {
        Unfit::TooLarge(error) => ApiError::too_large(error),
        unfit => ApiError::internal(unfit),
    })?;
    *object = clean.object;
    Ok(())
}

/// `apiVersion` and `kind` of a tree.
struct Named {
    api_version: String,
    kind: String,
}

impl Named {
    fn of(object: &Value) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        Self {
            api_version: text("apiVersion").to_owned(),
            kind: text("kind").to_owned(),
        }
    }

    /// Whether Go cannot parse the group and version.
    fn unreadable(&self) -> bool {
        GroupVersion::parse(&self.api_version).is_err()
    }

    fn version(&self) -> String {
        GroupVersion::parse(&self.api_version).map_or(String::new(), |it| it.version)
    }

    /// Whether the tree is of this kind, in any version.
    fn is_kind_of(&self, served: &Served) -> bool {
        let group = GroupVersion::parse(&self.api_version).map_or(String::new(), |it| it.group);
        group == served.group_kind().group && self.kind == served.kind()
    }

    /// The schema of the named version, if it exists.
    fn schema<'a>(&self, served: &'a Served) -> Option<&'a Structural> {
        let version = served.resource().definition().version(&self.version())?;
        Some(&version.schema)
    }
}

/// Weight of work on a body for [`crate::compute`].
pub(crate) fn weight(format: Format, body: &[u8]) -> usize {
    match format {
        Format::Json => body.len(),
        // Aliases and merge keys may expand a small body to a large tree.
        Format::Yaml if body.iter().any(|byte| b"*<".contains(byte)) => {
            YAML_COST.saturating_mul(body.len().max(INLINE))
        }
        Format::Yaml => YAML_COST.saturating_mul(body.len()),
    }
}

/// Sets `kind` and `apiVersion` where they are missing, as kube-apiserver does for its own kinds.
fn complete_type(served: &Served, value: &mut Value) {
    let Value::Object(object) = value else { return };
    let own = [
        ("kind", served.kind()),
        ("apiVersion", served.api_version()),
    ];
    for (name, own) in own {
        let found = object.entry(name).or_insert(Value::Null);
        if found.is_null() || found.as_str() == Some("") {
            *found = own.into();
        }
    }
}

/// Parses a body.
fn parse(format: Format, body: &[u8]) -> Result<Parsed, ParseError> {
    match format {
        Format::Json => kube_json::parse(body).map_err(|error| match error {
            ParseError::Syntax(reason) => ParseError::Syntax(format!(
                "couldn't get version/kind; json parse error: {reason}"
            )),
            error @ ParseError::TooLarge { .. } => error,
        }),
        Format::Yaml => kube_json::yaml::parse(body),
    }
}

/// All errors of strict decoding, duplicate fields first.
fn problems(format: Format, duplicates: Vec<String>, unknown: Vec<String>) -> Vec<String> {
    let doubled = duplicates.into_iter().map(|it| match format {
        Format::Json => format!("duplicate field \"{it}\""),
        // The YAML parser's text already contains the line.
        Format::Yaml => it,
    });
    doubled.chain(unknown).collect()
}

fn strict(format: Format, problems: &[String]) -> String {
    // The YAML parser reports all repeated keys in one error.
    let repeated = match format {
        Format::Json => 0,
        Format::Yaml => problems.partition_point(|it| it.starts_with("line ")),
    };
    if repeated == 0 {
        return strict_text(problems);
    }
    let lines = problems[..repeated].join("\n  ");
    let mut texts = vec![format!("yaml: unmarshal errors:\n  {lines}")];
    texts.extend_from_slice(&problems[repeated..]);
    strict_text(&texts)
}

/// `strict decoding error: a, b`.
pub(crate) fn strict_text(problems: &[String]) -> String {
    format!("strict decoding error: {}", problems.join(", "))
}

fn unrecognized(served: &Served, problem: &str) -> ApiError {
    let kind = served.kind();
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {problem}"
    ))
}

fn unhandled(
    served: &Served,
    named: &Named,
    version: &str,
    problem: &impl std::fmt::Display,
) -> ApiError {
    let (kind, wanted) = (&named.kind, served.kind());
    ApiError::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {wanted}: {problem}"
    ))
}
