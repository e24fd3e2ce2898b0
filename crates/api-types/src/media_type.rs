//! Which form a body has, and which form an answer takes.

mod accept;

use crate::go_text;
use crate::status::ApiError;

/// What requests and answers can be written in, as error messages list it. The third is offered by
/// kube-apiserver for built-in kinds only, yet listed for custom ones too.
const MEDIA_TYPES: [&str; 3] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];

const STREAM_TYPES: [&str; 2] = [
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// A way to write objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `application/json`.
    #[default]
    Json,
    /// `application/yaml`.
    Yaml,
}

/// A version of the `meta.k8s.io` group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVersion {
    /// `meta.k8s.io/v1`.
    V1,
    /// `meta.k8s.io/v1beta1`.
    V1beta1,
}

/// What is answered in place of the object itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transform {
    /// The object itself.
    #[default]
    None,
    /// A `Table` of columns and rows.
    Table(MetaVersion),
    /// The object's metadata alone.
    PartialObject(MetaVersion),
    /// A list of objects' metadata.
    PartialObjectList(MetaVersion),
}

/// Whether an endpoint can transform what it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Resources: yes.
    Resource,
    /// Errors, discovery and the like: no.
    Plain,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// How it is written.
    pub format: Format,
    /// What is written.
    pub transform: Transform,
    /// Whether JSON is indented; never for watches.
    pub pretty: bool,
}

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Server-side apply.
    Apply,
}

/// Chooses the form of an answer.
///
/// # Errors
///
/// 406 if the client accepts nothing that the server has.
pub fn negotiate(
    accept: &str,
    query: &str,
    user_agent: &str,
    endpoint: Endpoint,
) -> Result<Negotiated, ApiError> {
    let mut negotiated = accept::negotiate(accept, endpoint)
        .ok_or_else(|| ApiError::not_acceptable(&MEDIA_TYPES))?;
    negotiated.pretty = negotiated.pretty || wants_pretty(query, user_agent);
    Ok(negotiated)
}

/// How the document of all groups is written, if the client prefers it to the list of groups
/// (`as=APIGroupDiscoveryList`).
#[must_use]
pub fn aggregated_discovery(accept: &str) -> Option<Format> {
    accept::aggregated_discovery(accept)
}

/// The one of these subtypes of `application` that the client prefers; the first if it does not
/// say.
#[must_use]
pub fn preferred_subtype<'a>(accept: &str, subtypes: &[&'a str]) -> Option<&'a str> {
    accept::preferred_subtype(accept, subtypes)
}

/// The format of a body; JSON if the client does not say.
///
/// # Errors
///
/// 415 for any format but JSON and YAML.
pub fn of_body(content_type: &str) -> Result<Format, ApiError> {
    let name = content_type.split(';').next().unwrap_or_default();
    match name.trim().to_ascii_lowercase().as_str() {
        "" if content_type.is_empty() => Ok(Format::Json),
        "application/json" => Ok(Format::Json),
        "application/yaml" => Ok(Format::Yaml),
        _ => Err(ApiError::unsupported_media_type(&MEDIA_TYPES)),
    }
}

/// The type of a patch.
///
/// # Errors
///
/// 415 for any other type; strategic merge patches are for built-in kinds only.
pub fn of_patch(content_type: &str) -> Result<PatchType, ApiError> {
    match content_type.split(';').next().unwrap_or_default() {
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/apply-patch+yaml" => Ok(PatchType::Apply),
        _ => Err(ApiError::unsupported_media_type(&[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ])),
    }
}

// === impl Format ===

impl Format {
    /// The `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

// === impl MetaVersion ===

impl MetaVersion {
    /// The `apiVersion`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

// === impl Negotiated ===

impl Negotiated {
    /// Demands a format that a watch can be written in.
    ///
    /// # Errors
    ///
    /// 406 for YAML.
    pub fn for_watch(mut self) -> Result<Self, ApiError> {
        if self.format == Format::Yaml {
            return Err(ApiError::not_acceptable(&STREAM_TYPES));
        }
        self.pretty = false;
        Ok(self)
    }
}

/// Whether a person is reading: by `pretty` in the query, else by the `User-Agent`.
#[must_use]
pub fn wants_pretty(query: &str, user_agent: &str) -> bool {
    let asked = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "pretty");
    match asked {
        Some((_, value)) if !value.is_empty() => go_text::parse_bool(&value).unwrap_or(false),
        _ => ["curl", "Wget", "Mozilla/5.0"]
            .iter()
            .any(|reader| user_agent.starts_with(reader)),
    }
}

#[cfg(test)]
mod tests;
