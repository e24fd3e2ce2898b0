//! The schemas of everything served, as OpenAPI 3 per version and OpenAPI 2 for all.
//!
//! Documents are made when the first client asks: clients that only read and write objects never do.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use api_types::media_type;
use axum::body::Body;
use crd_schema::openapi::{self, Kind};
use http::header::{ACCEPT, CACHE_CONTROL, ETAG, EXPIRES, LAST_MODIFIED, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, json};

use crate::reply::{self, Document};
use crate::resources::{Catalog, Resource};

/// Below this size compression costs more than it saves; kube-apiserver's threshold here.
const COMPRESS_FROM: usize = 1400;
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The documents of one catalog.
#[derive(Debug)]
pub struct OpenApi {
    /// By `apis/GROUP/VERSION`.
    versions: BTreeMap<String, GroupVersion>,
    index: OnceLock<Document>,
    all: OnceLock<Document>,
    /// When the catalog was made.
    made: HeaderValue,
}

/// One version of a group and its document.
#[derive(Debug)]
struct GroupVersion {
    version: String,
    resources: Vec<Arc<Resource>>,
    document: OnceLock<Document>,
}

impl OpenApi {
    /// The documents of a catalog.
    #[must_use]
    pub fn new(catalog: &Catalog) -> Self {
        let mut versions = BTreeMap::new();
        for group in catalog.groups() {
            for version in catalog.versions(group) {
                let serves = |it: &&Arc<Resource>| {
                    let found = it.definition().version(version);
                    found.is_some_and(|version| version.served)
                };
                let resources = catalog.group(group).filter(serves).cloned().collect();
                versions.insert(
                    format!("apis/{group}/{version}"),
                    GroupVersion {
                        version: version.to_owned(),
                        resources,
                        document: OnceLock::new(),
                    },
                );
            }
        }
        Self {
            versions,
            index: OnceLock::new(),
            all: OnceLock::new(),
            made: http_date(Timestamp::now()),
        }
    }

    /// `/openapi/v3`: where the documents of the versions are.
    #[must_use]
    pub fn index(&self, head: &Parts) -> Response<Body> {
        let index = self.index.get_or_init(|| {
            let mut paths = Map::new();
            for (path, version) in &self.versions {
                let url = url(path, version.document());
                paths.insert(path.clone(), json!({ "serverRelativeURL": url }));
            }
            Document::new(kube_json::to_vec(&json!({ "paths": paths })), COMPRESS_FROM)
        });
        // Not JSON by name: as kube-apiserver's aggregator answers.
        let mut response = index.answer(&head.headers, TEXT);
        self.dated(&mut response);
        response
    }

    /// `/openapi/v3/apis/GROUP/VERSION`: what the version serves; `path` is without `/openapi/v3/`.
    #[must_use]
    pub fn version(&self, path: &str, head: &Parts) -> Response<Body> {
        let Some(version) = self.versions.get(path) else {
            return empty(StatusCode::NOT_FOUND);
        };
        if !takes_json(head) {
            return varied(empty(StatusCode::NOT_ACCEPTABLE), "Accept");
        }
        let document = version.document();
        let mut response = match asked_hash(head) {
            Some(hash) if hash != document.hash() => moved(path, document),
            hash => {
                let mut response = self.content(document, head);
                if hash.is_some() {
                    for_ever(&mut response);
                }
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, document.etag().clone());
        varied(response, "Accept")
    }

    /// `/openapi/v2`: everything in one document.
    #[must_use]
    pub fn all(&self, head: &Parts) -> Response<Body> {
        if !takes_json(head) {
            let refusal = varied(empty(StatusCode::NOT_ACCEPTABLE), "Accept-Encoding");
            return varied(refusal, "Accept");
        }
        let document = self.all.get_or_init(|| {
            let versions = self.versions.values();
            let kinds: Vec<Kind<'_>> = versions.flat_map(GroupVersion::kinds).collect();
            Document::new(kube_json::to_vec(&openapi::v2(&kinds)), COMPRESS_FROM)
        });
        let mut response = self.content(document, head);
        let headers = response.headers_mut();
        headers.insert(ETAG, document.etag().clone());
        // Whether compressed or not: caches keep both.
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        varied(response, "Accept")
    }

    /// The paths that there are, sorted.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = vec!["/openapi/v2".to_owned(), "/openapi/v3".to_owned()];
        paths.extend(
            self.versions
                .keys()
                .map(|path| format!("/openapi/v3/{path}")),
        );
        paths
    }

    fn content(&self, document: &Document, head: &Parts) -> Response<Body> {
        if document.is_known(&head.headers) {
            return document.not_modified();
        }
        let mut response = document.answer(&head.headers, reply::JSON);
        self.dated(&mut response);
        response
    }

    fn dated(&self, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        headers.insert(LAST_MODIFIED, self.made.clone());
    }
}

impl GroupVersion {
    fn document(&self) -> &Document {
        self.document.get_or_init(|| {
            let document = openapi::v3(&self.kinds());
            Document::new(kube_json::to_vec(&document), COMPRESS_FROM)
        })
    }

    fn kinds(&self) -> Vec<Kind<'_>> {
        let kinds = self.resources.iter().filter_map(|resource| {
            let kinds = Kind::of_manifest(resource.manifest());
            let mut kind = kinds.into_iter().find(|it| it.version == self.version)?;
            // A manifest may leave it to the default.
            kind.list_kind = &resource.definition().names.list_kind;
            Some(kind)
        });
        kinds.collect()
    }
}

/// Where the document of a version is, by its hash: what is there never changes.
fn url(path: &str, document: &Document) -> String {
    format!("/openapi/v3/{path}?hash={}", document.hash())
}

fn takes_json(head: &Parts) -> bool {
    let accept = head.headers.get(ACCEPT);
    let accept = accept.and_then(|it| it.to_str().ok()).unwrap_or_default();
    media_type::preferred_subtype(accept, &["json"]).is_some()
}

fn asked_hash(head: &Parts) -> Option<String> {
    let query = head.uri.query().unwrap_or_default();
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let (_, hash) = parameters.find(|(key, _)| key == "hash")?;
    Some(hash.into_owned()).filter(|hash| !hash.is_empty())
}

/// The document has another hash by now.
fn moved(path: &str, document: &Document) -> Response<Body> {
    let mut response = reply::body(StatusCode::MOVED_PERMANENTLY, reply::JSON, "");
    if let Ok(location) = HeaderValue::from_str(&url(path, document)) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// What is addressed by its hash may be kept.
fn for_ever(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    let cached = HeaderValue::from_static("public, immutable");
    headers.insert(CACHE_CONTROL, cached);
    let year = Timestamp::now().saturating_add((365 * 24).hours());
    if let Ok(until) = year {
        headers.insert(EXPIRES, http_date(until));
    }
}

fn varied(mut response: Response<Body>, by: &'static str) -> Response<Body> {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static(by));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn http_date(at: Timestamp) -> HeaderValue {
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    let text = printer.timestamp_to_rfc9110_string(&at);
    let value = text.ok().and_then(|text| HeaderValue::from_str(&text).ok());
    value.unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

#[cfg(test)]
mod tests;
