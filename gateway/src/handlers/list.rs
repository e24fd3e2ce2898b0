//! Lists of a collection, in pages if the client sets a limit.

use std::sync::Arc;

use api_types::continue_token::ContinueToken;
use api_types::options::{ListOptions, VersionMatch};
use api_types::resource_version::{ResourceVersion, invalid_for_list};
use api_types::revision::Revision;
use api_types::status::ApiError;
use api_types::table::ListMeta;
use axum::body::Body;
use http::Response;

use super::selection::{RequestScope, Selection};
use super::{Api, Call, watch};
use crate::codec::{self, Negotiated, Objects, Page};
use crate::compute::{Turn, Walks};
use crate::resources::Served;
use crate::store::{
    Filter as _, Freshness, ListAt, ListRequest, Listing, ListingIter, ObjectKey, StoreError,
    Stored,
};

const TOO_OLD: &str = "The resourceVersion for the provided list is too old.";
const TOKEN_TOO_OLD: &str = "The provided continue parameter is too old to display a consistent \
    list result. You can start a new list without the continue parameter, or use the continue \
    token in this response to retrieve the remainder of the results. Continuing with the provided \
    token results in an inconsistent list - objects that were created, modified, or deleted \
    between the time the first chunk was returned and now may show up in the list.";

/// Objects of a page that are kept after the search: 80 kB of references. A larger page is walked a
/// second time.
const HELD: usize = 10_000;

/// The list that the options ask for.
#[derive(Debug)]
pub(super) struct Plan {
    scope: RequestScope,
    at: ListAt,
    limit: Option<usize>,
    selection: Arc<Selection>,
}

/// A page of a limited list.
struct Found {
    /// The objects; none if they exceed the bound.
    held: Option<Arc<[Arc<Stored>]>>,
    /// Key of the last object of a full page, if more objects follow.
    last: Option<ObjectKey>,
}

/// A walk over the objects of a listing, up to a number of matches.
struct Walk {
    listing: ListingIter,
    /// None if everything matches.
    selection: Option<Arc<Selection>>,
    left: usize,
}

/// Responds with a list.
pub(super) async fn list(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let negotiated = Negotiated::of(&call.head)?;
    let options = ListOptions::parse(call.head.uri.query().unwrap_or_default())?;
    if options.watch() {
        return watch::follow(api, call, negotiated, &options).await;
    }
    let page = Plan::of(&options, call)?.read(api, &call.served).await?;
    codec::list(&negotiated, &call.served, page, call.compute(api)).await
}

impl Plan {
    /// Parses the options.
    ///
    /// # Errors
    /// 400 for invalid or unsupported options.
    pub(super) fn of(options: &ListOptions, call: &Call) -> Result<Self, ApiError> {
        let selection = Selection::of(options, &call.served, &call.info)?;
        let mut scope = selection.scope(&call.info, &call.served);
        let token = options.continue_token();
        if !token.is_empty() {
            // A continue token is relative to the collection.
            scope = scope.widened();
        }
        let version = options.resource_version();
        // Version 0 allows any state and ignores the limit, as in kube-apiserver.
        let limit = options.limit().filter(|_| version != "0");
        let at = if token.is_empty() {
            let version = ResourceVersion::parse(version)
                .map_err(|error| ApiError::bad_request(invalid_for_list(&error)))?;
            // A single object has no second page, so the limit is ignored.
            let paged = limit.is_some() && scope.name.is_none();
            state(version, options.version_match(), paged)
        } else {
            goes_on(token, version, &scope)?
        };
        Ok(Self {
            scope,
            at,
            limit,
            selection: Arc::new(selection),
        })
    }

    /// Takes a snapshot of the requested state.
    ///
    /// # Errors
    /// 410 if the state is no longer available, 503 or 504 if the backend is needed and
    /// unavailable.
    pub(super) async fn read(&self, api: &Api, served: &Served) -> Result<Page, ApiError> {
        let request = ListRequest {
            scope: self.scope.store_scope(),
            at: self.at.clone(),
            paged: self.limit.is_some(),
        };
        let listing = api.store.list(served.resource().id(), request).await;
        let listing = listing.map_err(|error| self.expired(error))?;
        Ok(self.page(listing, api.store.compute().walks()).await)
    }

    /// The objects of the page and the continuation.
    async fn page(&self, listing: Listing, walks: &Walks) -> Page {
        let revision = listing.revision();
        let mut meta = ListMeta {
            resource_version: revision.to_string(),
            ..ListMeta::default()
        };
        let Some(limit) = self.limit else {
            let selection = Arc::clone(&self.selection);
            let walk = move || Walk::of(&listing, &selection, usize::MAX).boxed();
            return Page {
                walk: Box::new(walk),
                meta,
            };
        };
        let found = self.search(&listing, limit, walks.begin()).await;
        if let Some(last) = &found.last {
            let token = ContinueToken::after(Some(revision), self.relative(last));
            meta.continue_token = token.encode();
            // With a selector the remaining matches are unknown, so the count is omitted.
            meta.remaining_item_count = Some(listing.remaining(last))
                .filter(|_| self.selection.is_empty())
                .and_then(|count| i64::try_from(count).ok());
        }
        let selection = Arc::clone(&self.selection);
        let walk = move || -> Objects {
            let Some(held) = &found.held else {
                return Walk::of(&listing, &selection, limit).boxed();
            };
            let objects = Arc::clone(held);
            Box::new((0..objects.len()).map(move |at| Some(Arc::clone(&objects[at]))))
        };
        Page {
            walk: Box::new(walk),
            meta,
        }
    }

    /// Finds the objects of a page first, because the continuation is encoded before the items.
    async fn search(&self, listing: &Listing, limit: usize, mut turn: Turn) -> Found {
        let mut walk = Walk::of(listing, &self.selection, limit);
        let (mut held, mut count, mut last) = (Vec::new(), 0, None);
        for object in walk.by_ref() {
            if let Some(object) = object {
                count += 1;
                last = (count == limit).then(|| object.key().clone());
                if count <= HELD {
                    held.push(object);
                }
            }
            turn.pass(0).await;
        }
        Found {
            held: (count <= HELD).then(|| held.into()),
            // More keys follow; whether they match is not known.
            last: last.filter(|_| walk.listing.next().is_some()),
        }
    }

    /// A key as in continue tokens: relative to the collection.
    fn relative<'a>(&self, key: &'a ObjectKey) -> &'a str {
        if self.scope.namespace.is_empty() {
            key.as_str()
        } else {
            key.name()
        }
    }

    /// The error for a compacted state, with a token that continues at the latest state.
    fn expired(&self, error: StoreError) -> ApiError {
        let StoreError::Compacted { .. } = error else {
            return error.into();
        };
        let ListAt::Continue { start, .. } = &self.at else {
            return ApiError::expired(TOO_OLD);
        };
        let prefix = prefix(&self.scope);
        let start = start.strip_prefix(&prefix).unwrap_or(start).to_owned();
        let token = ContinueToken {
            revision: None,
            start,
        };
        ApiError::expired(TOKEN_TOO_OLD).with_continue(token.encode())
    }
}

impl Walk {
    fn of(listing: &Listing, selection: &Arc<Selection>, most: usize) -> Self {
        Self {
            listing: listing.iter(),
            left: if selection.is_nothing() { 0 } else { most },
            selection: (!selection.is_empty()).then(|| Arc::clone(selection)),
        }
    }

    fn boxed(self) -> Objects {
        Box::new(self)
    }
}

impl Iterator for Walk {
    type Item = Option<Arc<Stored>>;

    fn next(&mut self) -> Option<Option<Arc<Stored>>> {
        if self.left == 0 {
            return None;
        }
        let object = self.listing.next()?;
        let selection = self.selection.as_ref();
        let chosen = selection.is_none_or(|selection| selection.matches(&object));
        self.left -= usize::from(chosen);
        Some(chosen.then_some(object))
    }
}

/// The state of a new list, by `resourceVersion` and `resourceVersionMatch`.
fn state(version: ResourceVersion, matching: Option<VersionMatch>, paged: bool) -> ListAt {
    let fresh = |revision: Revision| ListAt::Fresh(Freshness::NotOlderThan(revision));
    match (version, matching) {
        (ResourceVersion::Unset, _) => ListAt::Fresh(Freshness::Latest),
        (ResourceVersion::Any, _) => ListAt::Fresh(Freshness::Any),
        (ResourceVersion::Number(revision), Some(VersionMatch::Exact)) => ListAt::Exact(revision),
        (ResourceVersion::Number(revision), Some(VersionMatch::NotOlderThan)) => fresh(revision),
        // kube-apiserver's rule for a limit without `resourceVersionMatch`: the exact state.
        (ResourceVersion::Number(revision), None) if paged => ListAt::Exact(revision),
        (ResourceVersion::Number(revision), None) => fresh(revision),
    }
}

/// The state of a continued list.
fn goes_on(token: &str, version: &str, scope: &RequestScope) -> Result<ListAt, ApiError> {
    let token = ContinueToken::decode(token)?;
    if !matches!(version, "" | "0") {
        let message = "specifying resource version is not allowed when using continue";
        return Err(ApiError::bad_request(message));
    }
    Ok(ListAt::Continue {
        revision: token.revision,
        start: prefix(scope) + &token.start,
    })
}

/// Prefix of a token's key in the keys of the store.
fn prefix(scope: &RequestScope) -> String {
    match scope.namespace.as_str() {
        "" => String::new(),
        namespace => format!("{namespace}/"),
    }
}
