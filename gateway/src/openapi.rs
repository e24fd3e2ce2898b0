//! The schemas of everything served, as OpenAPI 3 per version and OpenAPI 2 for all.
//!
//! Documents are made when the first client asks: clients that only read and write objects never do.

mod published;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use crd_schema::openapi::{self, Kind};
use http::header::{CACHE_CONTROL, ETAG, EXPIRES, LAST_MODIFIED, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, json};

use self::published::{Encoding, Published, V2, V3};
use crate::reply::{self, Document};
use crate::resources::{Catalog, Resource};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The documents of one catalog.
#[derive(Debug)]
pub struct OpenApi {
    /// By `apis/GROUP/VERSION`.
    versions: BTreeMap<String, GroupVersion>,
    index: OnceLock<Document>,
    all: OnceLock<Published>,
    /// When the catalog was made.
    made: HeaderValue,
}

/// One version of a group and its document.
#[derive(Debug)]
struct GroupVersion {
    version: String,
    resources: Vec<Arc<Resource>>,
    document: OnceLock<Published>,
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
                let url = url(path, version.document().json());
                paths.insert(path.clone(), json!({ "serverRelativeURL": url }));
            }
            published::plain(&json!({ "paths": paths }))
        });
        // Not JSON by name: as kube-apiserver's aggregator answers.
        let mut response = index.respond(&head.headers, TEXT);
        self.dated(&mut response);
        response
    }

    /// `/openapi/v3/apis/GROUP/VERSION`: what the version serves; `path` is without `/openapi/v3/`.
    #[must_use]
    pub fn version(&self, path: &str, head: &Parts) -> Response<Body> {
        let Some(version) = self.versions.get(path) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let Some(encoding) = V3.encoding(head) else {
            return varied(empty(StatusCode::NOT_ACCEPTABLE), "Accept");
        };
        let document = version.document();
        let mut response = match asked_hash(head) {
            Some(hash) if hash != document.json().hash() => moved(path, document.json()),
            hash => {
                let mut response = self.content(document, encoding, head);
                if hash.is_some() {
                    for_ever(&mut response);
                }
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, document.json().etag().clone());
        varied(response, "Accept")
    }

    /// `/openapi/v2`: everything in one document.
    #[must_use]
    pub fn all(&self, head: &Parts) -> Response<Body> {
        let Some(encoding) = V2.encoding(head) else {
            let refusal = varied(empty(StatusCode::NOT_ACCEPTABLE), "Accept-Encoding");
            return varied(refusal, "Accept");
        };
        let document = self.all.get_or_init(|| {
            let versions = self.versions.values();
            let kinds: Vec<Kind<'_>> = versions.flat_map(GroupVersion::kinds).collect();
            Published::new(&V2, &openapi::v2(&kinds))
        });
        let mut response = self.content(document, encoding, head);
        let headers = response.headers_mut();
        headers.insert(ETAG, document.json().etag().clone());
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

    fn content(&self, document: &Published, encoding: Encoding, head: &Parts) -> Response<Body> {
        let (document, content_type) = document.document(encoding);
        if document.is_known(&head.headers) {
            return document.not_modified();
        }
        let mut response = document.respond(&head.headers, content_type);
        self.dated(&mut response);
        response
    }

    fn dated(&self, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        headers.insert(LAST_MODIFIED, self.made.clone());
    }
}

impl GroupVersion {
    fn document(&self) -> &Published {
        self.document
            .get_or_init(|| Published::new(&V3, &openapi::v3(&self.kinds())))
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
