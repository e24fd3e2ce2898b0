//! Bytes into an object of the version that was asked for: parse, coerce metadata, prune, drop
//! nulls, default, and say what strict decoding has against it.
//!
//! Source of order and texts: `k8s.io/apiserver/pkg/endpoints/handlers/{create,rest}.go` and the
//! decoder in `k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go`.

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

/// Time that a byte of YAML takes, as a multiple of what a byte of JSON does.
const YAML_COST: usize = 8;

/// An object as the schema knows it.
#[derive(Debug)]
pub(crate) struct Clean {
    /// The object, with defaults.
    pub object: Value,
    /// Fields that the schema does not know, as strict decoding reports them.
    pub unknown: Vec<String>,
}

/// Why a tree is no object of the resource.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// It names no kind; repeats the tree.
    #[error("Object 'Kind' is missing in '{0}'")]
    NoKind(String),
    /// Its version has too many parts.
    #[error("unexpected GroupVersion string: {0}")]
    NoVersion(String),
    /// A field of the metadata has the wrong type.
    #[error("{0}")]
    Malformed(String),
    /// With its defaults it is larger than an object may be.
    #[error(transparent)]
    TooLarge(#[from] default::TooLarge),
}

/// The object in a request's body. Warns of fields that are unknown or doubled, unless they are to
/// be ignored.
///
/// # Errors
/// 400, in kube-apiserver's words.
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
    let Parsed { value, duplicates } =
        parse(format, body).map_err(|error| ApiError::unparsed(error, undecodable))?;
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

/// A tree as an object of its own version and kind; trees of other kinds are left as they are but
/// for their metadata.
///
/// # Errors
/// If it names no kind, its metadata is malformed, or its defaults are larger than a request may
/// be.
pub(crate) fn clean(served: &Served, mut object: Value) -> Result<Clean, Unfit> {
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
        // Of a version that there is not, no field is known.
        let schema = named.schema(served).unwrap_or(&nothing);
        unknown.extend(prune::prune(&mut object, schema));
        nulls::drop_nulls(&mut object, schema);
        unknown.extend(coerce::embedded(&mut object, schema, Mode::Strict).map_err(malformed)?);
        default::apply(&mut object, schema, served.resource().body_limit())?;
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        // Field management comes with server-side apply (docs/adr/0003).
        metadata.remove("managedFields");
    }
    let unknown = unknown
        .into_iter()
        .map(|path| format!("unknown field \"{path}\""));
    Ok(Clean {
        object,
        unknown: unknown.collect(),
    })
}

/// Defaults an object again that mutating admission has changed, and prunes what it added.
///
/// # Errors
/// If its metadata is malformed, or its defaults are larger than a request may be.
pub(crate) fn default_again(served: &Served, object: &mut Value) -> Result<(), ApiError> {
    let changed = std::mem::take(object);
    let clean = clean(served, changed).map_err(|unfit| match unfit {
        Unfit::TooLarge(error) => ApiError::too_large(error),
        unfit => ApiError::internal(unfit),
    })?;
    *object = clean.object;
    Ok(())
}

/// What a tree says it is.
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

    /// Whether Go gives up on the group and version.
    fn unreadable(&self) -> bool {
        GroupVersion::parse(&self.api_version).is_err()
    }

    fn version(&self) -> String {
        GroupVersion::parse(&self.api_version).map_or(String::new(), |it| it.version)
    }

    /// Whether it is this kind, in whichever version.
    fn is_kind_of(&self, served: &Served) -> bool {
        let group = GroupVersion::parse(&self.api_version).map_or(String::new(), |it| it.group);
        group == served.group_kind().group && self.kind == served.kind()
    }

    /// The schema of that version, if there is one.
    fn schema<'a>(&self, served: &'a Served) -> Option<&'a Structural> {
        let version = served.resource().definition().version(&self.version())?;
        Some(&version.schema)
    }
}

/// What work on a body weighs to [`crate::compute`].
pub(crate) fn weight(format: Format, body: &[u8]) -> usize {
    match format {
        Format::Json => body.len(),
        // Aliases and merge keys make much of little.
        Format::Yaml if body.iter().any(|byte| b"*<".contains(byte)) => {
            YAML_COST.saturating_mul(body.len().max(INLINE))
        }
        Format::Yaml => YAML_COST.saturating_mul(body.len()),
    }
}

/// The tree in a text.
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

/// All that strict decoding has to say, doubled fields first.
fn problems(format: Format, duplicates: Vec<String>, unknown: Vec<String>) -> Vec<String> {
    let doubled = duplicates.into_iter().map(|it| match format {
        Format::Json => format!("duplicate field \"{it}\""),
        // Says which line.
        Format::Yaml => it,
    });
    doubled.chain(unknown).collect()
}

fn strict(format: Format, problems: &[String]) -> String {
    let mut problems = problems.to_vec();
    if format == Format::Yaml
        && let Some(first) = problems.first_mut()
        && first.starts_with("line ")
    {
        *first = format!("yaml: unmarshal errors:\n  {first}");
    }
    strict_text(&problems)
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
