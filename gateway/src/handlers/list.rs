//! Listing a collection, page by page if the client wishes.

use std::sync::Arc;

use api_types::continue_token::ContinueToken;
use api_types::options::{ListOptions, VersionMatch};
use api_types::resource_version::{ResourceVersion, invalid_for_list};
use api_types::revision::Revision;
use api_types::status::ApiError;
use api_types::table::ListMeta;
use axum::body::Body;
use http::Response;

use super::selection::{Place, Selection};
use super::{Api, Call, watch};
use crate::codec::{self, Form, Objects, Page};
use crate::resources::Served;
use crate::store::{Filter as _, Freshness, ListAt, ListRequest, Listing, ObjectKey, StoreError};

const TOO_OLD: &str = "The resourceVersion for the provided list is too old.";
const TOKEN_TOO_OLD: &str = "The provided continue parameter is too old to display a consistent \
    list result. You can start a new list without the continue parameter, or use the continue \
    token in this response to retrieve the remainder of the results. Continuing with the provided \
    token results in an inconsistent list - objects that were created, modified, or deleted \
    between the time the first chunk was returned and now may show up in the list.";

/// What is listed, as the options ask for it.
#[derive(Debug)]
pub(super) struct Plan {
    place: Place,
    at: ListAt,
    limit: Option<usize>,
    selection: Arc<Selection>,
}

/// Answers with a list.
pub(super) async fn list(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let form = Form::of(&call.head)?;
    let options = ListOptions::parse(call.head.uri.query().unwrap_or_default())?;
    if options.watch() {
        return watch::follow(api, call, form, &options).await;
    }
    let page = Plan::of(&options, call)?.read(api, &call.served).await?;
    codec::list(&form, &call.served, page).await
}

impl Plan {
    /// Works out what is asked for.
    ///
    /// # Errors
    /// 400 for options that cannot be had.
    pub(super) fn of(options: &ListOptions, call: &Call) -> Result<Self, ApiError> {
        let selection = Selection::of(options, &call.served, &call.info)?;
        let mut place = selection.place(&call.info, &call.served);
        let token = options.continue_token();
        if !token.is_empty() {
            // A token is relative to the collection.
            place = place.widened();
        }
        let version = options.resource_version();
        // Any state may be any number of objects.
        let limit = options.limit().filter(|_| version != "0");
        let at = if token.is_empty() {
            let version = ResourceVersion::parse(version)
                .map_err(|error| ApiError::bad_request(invalid_for_list(&error)))?;
            // One object has no second page, so that the limit says nothing.
            let paged = limit.is_some() && place.name.is_none();
            state(version, options.version_match(), paged)
        } else {
            goes_on(token, version, &place)?
        };
        Ok(Self {
            place,
            at,
            limit,
            selection: Arc::new(selection),
        })
    }

    /// Takes a snapshot of what is asked for.
    ///
    /// # Errors
    /// 410 if the state asked for is gone, 503 or 504 if the backend is needed and does not answer.
    pub(super) async fn read(&self, api: &Api, served: &Served) -> Result<Page, ApiError> {
        let request = ListRequest {
            scope: self.place.scope(),
            at: self.at.clone(),
            paged: self.limit.is_some(),
        };
        let listing = api.store.list(served.resource().id(), request).await;
        let listing = listing.map_err(|error| self.expired(error))?;
        Ok(self.page(&listing))
    }

    /// The objects of the page, and what comes behind it.
    fn page(&self, listing: &Listing) -> Page {
        let last = self.limit.and_then(|limit| self.last(listing, limit));
        let meta = ListMeta {
            resource_version: listing.revision().to_string(),
            continue_token: last.as_ref().map_or_else(String::new, |last| {
                ContinueToken::after(Some(listing.revision()), self.relative(last)).encode()
            }),
            // Nobody counts what does not match.
            remaining_item_count: last
                .filter(|_| self.selection.is_empty())
                .and_then(|last| i64::try_from(listing.remaining(&last)).ok()),
        };
        let limit = self.limit.unwrap_or(usize::MAX);
        let listing = listing.clone();
        let walk: Box<dyn Fn() -> Objects + Send> = if self.selection.is_empty() {
            Box::new(move || Box::new(listing.iter().take(limit)))
        } else {
            let selection = Arc::clone(&self.selection);
            Box::new(move || {
                let selection = Arc::clone(&selection);
                Box::new(
                    listing
                        .iter()
                        .filter(move |it| selection.matches(it))
                        .take(limit),
                )
            })
        };
        Page { walk, meta }
    }

    /// The last object of a full page, if anything comes behind it. The page is walked twice, so
    /// that it need not be held: what is said of the rest is written first.
    fn last(&self, listing: &Listing, limit: usize) -> Option<ObjectKey> {
        let mut walk = listing.iter();
        let mut chosen = walk.by_ref().filter(|it| self.selection.matches(it));
        let last = chosen.nth(limit - 1)?;
        // Behind it may be nothing that matches; only keys are known to be there.
        walk.next()?;
        Some(last.key().clone())
    }

    /// A key as tokens hold it: relative to the collection.
    fn relative<'a>(&self, key: &'a ObjectKey) -> &'a str {
        if self.place.namespace.is_empty() {
            key.as_str()
        } else {
            key.name()
        }
    }

    /// The error of a list whose state is gone, with a token to go on without it.
    fn expired(&self, error: StoreError) -> ApiError {
        let StoreError::Compacted { .. } = error else {
            return error.into();
        };
        let ListAt::Continue { start, .. } = &self.at else {
            return ApiError::expired(TOO_OLD);
        };
        let prefix = prefix(&self.place);
        let start = start.strip_prefix(&prefix).unwrap_or(start).to_owned();
        let token = ContinueToken {
            revision: None,
            start,
        };
        ApiError::expired(TOKEN_TOO_OLD).with_continue(token.encode())
    }
}

/// The state of a new list (semantics 6.3).
fn state(version: ResourceVersion, matching: Option<VersionMatch>, paged: bool) -> ListAt {
    let fresh = |revision: Revision| ListAt::Fresh(Freshness::NotOlderThan(revision));
    match (version, matching) {
        (ResourceVersion::Unset, _) => ListAt::Fresh(Freshness::Latest),
        (ResourceVersion::Any, _) => ListAt::Fresh(Freshness::Any),
        (ResourceVersion::Number(revision), Some(VersionMatch::Exact)) => ListAt::Exact(revision),
        (ResourceVersion::Number(revision), Some(VersionMatch::NotOlderThan)) => fresh(revision),
        // As it was before clients could say which they mean.
        (ResourceVersion::Number(revision), None) if paged => ListAt::Exact(revision),
        (ResourceVersion::Number(revision), None) => fresh(revision),
    }
}

/// The state of a list that goes on.
fn goes_on(token: &str, version: &str, place: &Place) -> Result<ListAt, ApiError> {
    let token = ContinueToken::decode(token)?;
    if !matches!(version, "" | "0") {
        let message = "specifying resource version is not allowed when using continue";
        return Err(ApiError::bad_request(message));
    }
    Ok(ListAt::Continue {
        revision: token.revision,
        start: prefix(place) + &token.start,
    })
}

/// What is before a token's key in the keys of the store.
fn prefix(place: &Place) -> String {
    match place.namespace.as_str() {
        "" => String::new(),
        namespace => format!("{namespace}/"),
    }
}
