//! Discovery: groups, versions, resources and their verbs.
//!
//! Every document is built once from a [`Catalog`] and sent as prepared bytes.

mod aggregated;
mod legacy;
mod negotiated;

use std::collections::BTreeMap;

use api_types::media_type;
use axum::body::Body;
use http::header::{ACCEPT, CACHE_CONTROL, ETAG, VARY};
use http::request::Parts;
use http::{HeaderValue, Response};

use crate::reply::Document;
use crate::resources::Catalog;

/// Documents below this size are not compressed: kube-apiserver's threshold, bytes.
const COMPRESS_FROM: usize = 128 << 10;

/// Verbs of `status` and `scale`.
const SUBRESOURCE_VERBS: [&str; 3] = ["get", "patch", "update"];

/// The discovery documents of one catalog.
#[derive(Debug)]
pub struct Discovery {
    core: Core,
    groups: Document,
    aggregated: Document,
    by_group: BTreeMap<String, Group>,
}

/// The core group, which has no custom resources.
#[derive(Debug)]
struct Core {
    versions: Document,
    aggregated: Document,
    resources: Document,
}

#[derive(Debug)]
struct Group {
    document: Document,
    versions: BTreeMap<String, Document>,
}

impl Discovery {
    /// Builds the documents of a catalog.
    #[must_use]
    pub fn new(catalog: &Catalog) -> Self {
        let group = |name: &str| {
            let versions = catalog.versions(name).into_iter();
            let versions = versions.map(|version| {
                let document = legacy::resources(catalog, name, version);
                (version.to_owned(), line(document))
            });
            Group {
                document: line(legacy::group(catalog, name)),
                versions: versions.collect(),
            }
        };
        let served = served_groups(catalog);
        Self {
            core: Core {
                versions: line(legacy::core_versions()),
                aggregated: line(aggregated::core(catalog)),
                resources: line(legacy::resources(catalog, "", "v1")),
            },
            groups: line(legacy::groups(catalog, &served)),
            aggregated: line(aggregated::groups(catalog, &served)),
            by_group: served
                .iter()
                .map(|name| ((*name).to_owned(), group(name)))
                .collect(),
        }
    }

    /// `/api`: the versions of the core group.
    #[must_use]
    pub fn core(&self, head: &Parts) -> Response<Body> {
        either(&self.core.versions, &self.core.aggregated, head)
    }

    /// `/api/v1`: its resources.
    #[must_use]
    pub fn core_resources(&self, head: &Parts) -> Response<Body> {
        negotiated::plain(&self.core.resources, head)
    }

    /// `/apis`: all groups; with their resources if the client accepts aggregated discovery.
    #[must_use]
    pub fn groups(&self, head: &Parts) -> Response<Body> {
        either(&self.groups, &self.aggregated, head)
    }

    /// `/apis/GROUP`: its versions; `None` if it is not served.
    #[must_use]
    pub fn group(&self, group: &str, head: &Parts) -> Option<Response<Body>> {
        let group = self.by_group.get(group)?;
        Some(negotiated::plain(&group.document, head))
    }

    /// `/apis/GROUP/VERSION`: its resources; `None` if it is not served.
    #[must_use]
    pub fn version(&self, group: &str, version: &str, head: &Parts) -> Option<Response<Body>> {
        let document = self.by_group.get(group)?.versions.get(version)?;
        Some(negotiated::plain(document, head))
    }

    /// The served paths, sorted.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
        for (name, group) in &self.by_group {
            paths.push(format!("/apis/{name}"));
            let versions = group.versions.keys();
            paths.extend(versions.map(|version| format!("/apis/{name}/{version}")));
        }
        paths
    }
}

/// The group list or the aggregated document, as the client prefers.
fn either(legacy: &Document, aggregated: &Document, head: &Parts) -> Response<Body> {
    let accept = negotiated::header(head, &ACCEPT);
    let Some(format) = media_type::aggregated_discovery(accept) else {
        return negotiated::plain(legacy, head);
    };
    let mut response = if aggregated.is_known(&head.headers) {
        aggregated.not_modified()
    } else {
        negotiated::aggregated(aggregated, format, head)
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, aggregated.etag().clone());
    headers.append(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    response
}

/// Groups with at least one served version, without the core group.
fn served_groups(catalog: &Catalog) -> Vec<&str> {
    let groups = catalog.groups();
    groups
        .filter(|group| !group.is_empty() && !catalog.versions(group).is_empty())
        .collect()
}

/// Appends a newline, as Go's encoder does.
fn line(mut json: Vec<u8>) -> Document {
    json.push(b'\n');
    Document::new(json, COMPRESS_FROM)
}

#[cfg(test)]
mod tests;
