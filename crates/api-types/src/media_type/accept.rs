//! The `Accept` header, with the deviations of the parser that Kubernetes uses
//! (`munnerz/goautoneg`).

use super::{Encoding, Endpoint, Format, MetaVersion, Negotiated, Transform};

/// Subtypes of `application` in the order in which a wildcard matches them.
const ENCODINGS: [(&str, Encoding); 3] = [
    ("json", Encoding::Json),
    ("yaml", Encoding::Yaml),
    ("vnd.kubernetes.protobuf", Encoding::Protobuf),
];
const FORMATS: [(&str, Format); 2] = [("json", Format::Json), ("yaml", Format::Yaml)];

struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

/// The first representation that the client accepts and the endpoint supports.
pub(super) fn negotiate(header: &str, endpoint: Endpoint) -> Option<Negotiated> {
    if header.is_empty() {
        return Some(Negotiated::default());
    }
    let clauses = parse(header);
    clauses.iter().find_map(|clause| {
        ENCODINGS
            .into_iter()
            .filter(|(subtype, _)| clause.covers(subtype))
            .find_map(|(_, encoding)| clause.form(encoding, endpoint))
    })
}

/// The first format that the client accepts, and whether it requests indentation.
pub(super) fn document(header: &str) -> Option<(Format, bool)> {
    if header.is_empty() {
        return Some((Format::Json, false));
    }
    parse(header).iter().find_map(|clause| {
        let mut formats = FORMATS.into_iter();
        let (_, format) = formats.find(|(subtype, format)| {
            let encoding = match format {
                Format::Json => Encoding::Json,
                Format::Yaml => Encoding::Yaml,
            };
            clause.covers(subtype) && clause.form(encoding, Endpoint::Error).is_some()
        })?;
        Some((format, clause.pretty()))
    })
}

/// The format of aggregated discovery, if the first clause that discovery supports requests it.
pub(super) fn aggregated_discovery(header: &str) -> Option<Format> {
    parse(header).iter().find_map(|clause| {
        FORMATS
            .into_iter()
            .filter(|(subtype, _)| clause.covers(subtype))
            .find_map(|(_, format)| clause.discovery(format))
    })?
}

/// The subtype that the first matching clause accepts.
pub(super) fn preferred_subtype<'a>(header: &str, subtypes: &[&'a str]) -> Option<&'a str> {
    if header.is_empty() {
        return subtypes.first().copied();
    }
    parse(header).iter().find_map(|clause| {
        let mut subtypes = subtypes.iter();
        subtypes.find(|subtype| clause.covers(subtype)).copied()
    })
}

/// Parameters of a clause that count; Kubernetes knows seven.
const MAX_PARAMETERS: usize = 16;

/// Clauses that count; later ones are ignored. Browsers and Kubernetes clients send less than ten. The
/// header is read before authentication, and sorting takes the square of their number.
const MAX_CLAUSES: usize = 64;

/// The clauses, the preferred one first.
fn parse(header: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = Vec::new();
    for clause in header
        .split(',')
        .take(MAX_CLAUSES)
        .filter_map(Clause::parse)
    {
        // The same insertion sort as Go's. Its comparison is not an order (a clause without
        // wildcards precedes one with them, whatever their qualities), so another algorithm would
        // give another result.
        let mut at = clauses.len();
        while at > 0 && clause.precedes(&clauses[at - 1]) {
            at -= 1;
        }
        clauses.insert(at, clause);
    }
    clauses
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let trim = |text: &'a str| text.trim_matches(' ');
        let mut parts = trim(text).split(';');
        let mut names = parts.next()?.split('/');
        let kind = trim(names.next()?);
        let subtype = match names.next() {
            None | Some("") if kind == "*" => "*",
            None | Some("") => return None,
            Some(subtype) => trim(subtype),
        };
        if names.next().is_some_and(|more| !more.is_empty()) {
            return None;
        }
        let mut clause = Self {
            kind,
            subtype,
            quality: 1.0,
            parameters: Vec::new(),
        };
        for parameter in parts.take(MAX_PARAMETERS) {
            let mut sides = parameter.split('=');
            match (sides.next(), sides.next(), sides.next()) {
                (Some(key), Some(value), None) if !value.is_empty() => match trim(key) {
                    "q" => clause.quality = value.parse().unwrap_or(0.0),
                    key => clause.parameters.push((key, trim(value))),
                },
                _ => {}
            }
        }
        Some(clause)
    }

    fn precedes(&self, other: &Self) -> bool {
        self.quality > other.quality
            || (self.kind != "*" && other.kind == "*")
            || (self.subtype != "*" && other.subtype == "*")
    }

    fn covers(&self, subtype: &str) -> bool {
        match (self.kind, self.subtype) {
            ("*" | "application", "*") => true,
            ("application", own) => own == subtype,
            _ => false,
        }
    }

    /// The value of a parameter; the last one wins.
    fn last(&self, key: &str) -> Option<&'a str> {
        let mut found = self.parameters.iter().rev();
        found
            .find(|(name, _)| *name == key)
            .map(|(_, value)| *value)
    }

    /// The discovery document of the clause: the list of groups (`Some(None)`), aggregated
    /// discovery, or none.
    fn discovery(&self, format: Format) -> Option<Option<Format>> {
        match (self.last("as"), self.last("g"), self.last("v")) {
            _ if self.last("stream").is_some() || self.last("sv").is_some() => None,
            (None, None, None) => Some(None),
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => {
                Some(Some(format))
            }
            _ => None,
        }
    }

    fn pretty(&self) -> bool {
        self.last("pretty") == Some("1")
    }

    /// The representation that the clause requests, if the endpoint supports it.
    fn form(&self, encoding: Encoding, endpoint: Endpoint) -> Option<Negotiated> {
        let last = |key: &str| self.last(key);
        if last("stream").is_some_and(|stream| stream != "watch" || encoding == Encoding::Yaml) {
            return None;
        }
        if last("sv").is_some_and(|version| endpoint == Endpoint::Error || version != "v1") {
            return None;
        }
        let transform = match (last("as"), last("g"), last("v")) {
            (None, None, None) => Transform::None,
            _ if endpoint == Endpoint::Error => return None,
            (Some(kind), Some("meta.k8s.io"), Some(version)) => transform(kind, version)?,
            _ => return None,
        };
        // Protobuf messages exist only for metadata, not for the content of custom resources.
        let custom = match transform {
            Transform::None => endpoint == Endpoint::Resource,
            Transform::Table(_) => true,
            Transform::PartialObject(_) | Transform::PartialObjectList(_) => false,
        };
        if custom && encoding == Encoding::Protobuf {
            return None;
        }
        Some(Negotiated {
            encoding,
            transform,
            pretty: self.pretty(),
        })
    }
}

fn transform(kind: &str, version: &str) -> Option<Transform> {
    let version = match version {
        "v1" => MetaVersion::V1,
        "v1beta1" => MetaVersion::V1beta1,
        _ => return None,
    };
    Some(match kind {
        "Table" => Transform::Table(version),
        "PartialObjectMetadata" => Transform::PartialObject(version),
        "PartialObjectMetadataList" => Transform::PartialObjectList(version),
        _ => return None,
    })
}
