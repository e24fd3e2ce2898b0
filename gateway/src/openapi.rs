//! OpenAPI documents of the served schemas: OpenAPI 3 per version, and OpenAPI 2 for all.
//!
//! A document is built at its first request, because clients that only read and write objects never
//! request it.

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
    /// By `apis/GROUP/VERSION`, or `api/VERSION` for the core group.
    versions: BTreeMap<String, GroupVersion>,
    index: OnceLock<Document>,
    all: OnceLock<Published>,
    /// Creation time of the catalog, for `Last-Modified`.
    made: HeaderValue,
}

/// A group version and its document.
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
                let path = match group {
                    "" => format!("api/{version}"),
                    group => format!("apis/{group}/{version}"),
                };
                versions.insert(
                    path,
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

    /// `/openapi/v3`: the URLs of the version documents.
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
        // `text/plain`, as kube-apiserver's aggregator sends it.
        let mut response = index.respond(&head.headers, TEXT);
        self.dated(&mut response);
        response
    }

    /// `/openapi/v3/apis/GROUP/VERSION`: the document of a version; `path` is relative to
    /// `/openapi/v3/`.
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

    /// `/openapi/v2`: one document for everything.
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
        // Caches must store compressed and uncompressed responses separately.
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        varied(response, "Accept")
    }

    /// The served paths, sorted.
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
            // The manifest may omit the list kind, which then has a default.
            kind.list_kind = &resource.definition().names.list_kind;
            Some(kind)
        });
        kinds.collect()
    }
}

/// URL of the document of a version. It contains the hash, so its content never changes.
fn url(path: &str, document: &Document) -> String {
    format!("/openapi/v3/{path}?hash={}", document.hash())
}

fn asked_hash(head: &Parts) -> Option<String> {
    let query = head.uri.query().unwrap_or_default();
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let (_, hash) = parameters.find(|(key, _)| key == "hash")?;
    Some(hash.into_owned()).filter(|hash| !hash.is_empty())
}

/// 301 to the current URL, because the requested hash is outdated.
fn moved(path: &str, document: &Document) -> Response<Body> {
    let mut response = reply::body(StatusCode::MOVED_PERMANENTLY, reply::JSON, "");
    if let Ok(location) = HeaderValue::from_str(&url(path, document)) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Marks a response as immutable: its URL contains the hash.
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
