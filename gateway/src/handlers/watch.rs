//! Watch of a collection.

use std::sync::Arc;
use std::time::Duration;

use api_types::options::ListOptions;
use api_types::resource_version::ResourceVersion;
use api_types::status::ApiError;
use axum::body::Body;
use http::Response;
use rand::Rng as _;
use tokio::time::Instant;

use super::selection::Selection;
use super::{Api, Call};
use crate::codec::{self, Bookmarks, Negotiated, WatchSource};
use crate::store::{Freshness, WatchRequest, WatchStart};

/// Range of the random watch timeout if the client sets none, seconds: kube-apiserver's
/// `--min-request-timeout` of 1,800 s, up to twice as long.
const DEFAULT_TIMEOUT_SECONDS: std::ops::Range<u64> = 1800..3600;

/// Responds with a stream of events.
pub(super) async fn watch(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let negotiated = Negotiated::of(&call.head)?;
    let options = ListOptions::parse(call.head.uri.query().unwrap_or_default())?;
    follow(api, call, negotiated, &options).await
}

/// As [`watch`], for parsed options.
pub(super) async fn follow(
    api: &Api,
    call: &mut Call,
    negotiated: Negotiated,
    options: &ListOptions,
) -> Result<Response<Body>, ApiError> {
    let selection = Selection::of(options, &call.served, &call.info)?;
    let scope = selection.scope(&call.info, &call.served).store_scope();
    let version = ResourceVersion::parse(options.resource_version())
        .map_err(|error| ApiError::internal_plain(error.to_string()))?;
    let request = WatchRequest {
        scope,
        start: start(options, version),
        filter: Arc::new(selection),
    };
    // Only a streamed list marks the end of its initial objects with a bookmark, and may be
    // compressed.
    let asked = options.send_initial_events() == Some(true) || options.legacy_initial_events();
    let streamed_list = asked && options.allow_watch_bookmarks();
    let source = WatchSource {
        deadline: deadline(options),
        watcher: api.store.watch(call.served.resource().id(), request).await,
        bookmarks: match options.allow_watch_bookmarks() {
            true if streamed_list => Bookmarks::WithInitial,
            true => Bookmarks::Regular,
            false => Bookmarks::None,
        },
        streamed_list,
        compute: call.compute(api),
    };
    codec::watch(negotiated, &call.served, source)
}

/// Start of the events, by `resourceVersion`, `resourceVersionMatch` and `sendInitialEvents`.
fn start(options: &ListOptions, version: ResourceVersion) -> WatchStart {
    let freshness = match version {
        ResourceVersion::Unset => Freshness::Latest,
        ResourceVersion::Any => Freshness::Any,
        ResourceVersion::Number(revision) => Freshness::NotOlderThan(revision),
    };
    match (options.send_initial_events(), version) {
        (Some(true), _) => WatchStart::Initial(freshness),
        (_, ResourceVersion::Number(revision)) => WatchStart::After(revision),
        (Some(false), _) => WatchStart::Now(freshness),
        (None, _) => WatchStart::Initial(freshness),
    }
}

fn deadline(options: &ListOptions) -> Instant {
    let asked = options.timeout_seconds().unwrap_or(0);
    let lasts = match u64::try_from(asked) {
        // Capped, so that adding it to the current time cannot overflow.
        Ok(seconds) if seconds > 0 => Duration::from_secs(seconds.min(u64::from(u32::MAX))),
        Ok(_) => {
            let longest = Duration::from_secs(DEFAULT_TIMEOUT_SECONDS.end);
            rand::rng().random_range(Duration::from_secs(DEFAULT_TIMEOUT_SECONDS.start)..longest)
        }
        // As in kube-apiserver, a watch with an invalid timeout ends at once.
        Err(_) => Duration::ZERO,
    };
    Instant::now() + lasts
}
