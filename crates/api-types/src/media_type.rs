//! Media types of request bodies and responses.

mod accept;

use crate::go_text;
use crate::status::ApiError;

/// Media types in the order in which error messages list them. The third is for errors and for
/// metadata only, but kube-apiserver lists it for custom resources too.
const MEDIA_TYPES: [&str; 3] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];

const STREAM_TYPES: [&str; 2] = [
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// Formats of whole objects, in requests and responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `application/json`.
    #[default]
    Json,
    /// `application/yaml`.
    Yaml,
}

/// Encodings of types that Kubernetes itself defines: errors, and the metadata of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    #[default]
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`; never for whole objects and tables.
    Protobuf,
}

/// A version of the `meta.k8s.io` group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVersion {
    /// `meta.k8s.io/v1`.
    V1,
    /// `meta.k8s.io/v1beta1`.
    V1beta1,
}

/// The representation of an object in a response (`as=` of the `Accept` header).
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

/// The transforms and encodings that an endpoint supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Resources: they can be transformed, and protobuf requires a transform.
    Resource,
    /// Errors: they cannot be transformed.
    Error,
}

/// The negotiated representation of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// Encoding of the response.
    pub encoding: Encoding,
    /// Representation of the object.
    pub transform: Transform,
    /// Whether JSON is indented; never for watches.
    pub pretty: bool,
}

/// Formats of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Server-side apply.
    Apply,
}

/// Negotiates the representation of a response.
///
/// # Errors
///
/// 406 if the endpoint supports nothing that the client accepts.
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

/// Negotiates the format of a discovery document, and whether JSON is indented.
///
/// # Errors
///
/// 406 if the server supports nothing that the client accepts.
pub fn negotiate_document(
    accept: &str,
    query: &str,
    user_agent: &str,
) -> Result<(Format, bool), ApiError> {
    let (format, pretty) =
        accept::document(accept).ok_or_else(|| ApiError::not_acceptable(&MEDIA_TYPES))?;
    Ok((format, pretty || wants_pretty(query, user_agent)))
}

/// The format of aggregated discovery, if the client prefers it to the list of groups
/// (`as=APIGroupDiscoveryList`).
#[must_use]
pub fn aggregated_discovery(accept: &str) -> Option<Format> {
    accept::aggregated_discovery(accept)
}

/// The subtype of `application` that the client prefers; the first if it has no preference.
#[must_use]
pub fn preferred_subtype<'a>(accept: &str, subtypes: &[&'a str]) -> Option<&'a str> {
    accept::preferred_subtype(accept, subtypes)
}

/// The format of a body; JSON if there is no `Content-Type`.
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
/// 415 for any other type; strategic merge patches exist for built-in kinds only.
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

// === impl Encoding ===

impl Encoding {
    /// The `Content-Type` of a document.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    /// The `Content-Type` of a watch; JSON has no separate one.
    #[must_use]
    pub const fn stream_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            Self::Json | Self::Yaml => self.content_type(),
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
    /// Restricts the representation to those that watch events have.
    ///
    /// # Errors
    ///
    /// 406 for YAML, and for lists as protobuf, because the objects of events are not lists.
    pub fn for_watch(mut self) -> Result<Self, ApiError> {
        let list = matches!(self.transform, Transform::PartialObjectList(_));
        match self.encoding {
            Encoding::Yaml => return Err(ApiError::not_acceptable(&STREAM_TYPES)),
            Encoding::Protobuf if list => return Err(ApiError::not_acceptable(&STREAM_TYPES)),
            Encoding::Json | Encoding::Protobuf => {}
        }
        self.pretty = false;
        Ok(self)
    }
}

/// Whether JSON should be indented: by `pretty` of the query, else by the `User-Agent`.
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
