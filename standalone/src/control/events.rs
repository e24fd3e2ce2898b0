//! The expiry of events: kube-apiserver's `--event-ttl`.

use std::time::Duration;

use api_types::meta::Meta;
use gateway::store::{Freshness, ListAt, ListRequest, ResourceId, Scope};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::unless_gone;
use crate::client::{Client, Failure};

/// Time after which an event is deleted: the default of `--event-ttl`.
const TTL: Duration = Duration::from_secs(3600);

/// Deletes the events that have expired.
///
/// # Errors
/// If the store is not available, or a deletion fails.
pub(super) async fn expire(client: &Client) -> Result<(), Failure> {
    let resource = ResourceId::new("", "events");
    let request = ListRequest {
        scope: Scope::All,
        at: ListAt::Fresh(Freshness::Any),
        paged: false,
    };
    let oldest = Timestamp::now() - TTL;
    for event in client.store().list(&resource, request).await?.iter() {
        let Ok(value) = kube_json::reparse(event.bytes()) else {
            continue;
        };
        if !is_older(&value, oldest) {
            continue;
        }
        let (namespace, name) = (event.key().namespace(), event.key().name());
        let path = format!("/api/v1/namespaces/{namespace}/events/{name}");
        let options = json!({"preconditions": {"uid": event.uid()}});
        unless_gone(client.delete(&path, &options).await)?;
    }
    Ok(())
}

/// Whether the last occurrence that an event reports, and its creation, were before `oldest`.
fn is_older(event: &Value, oldest: Timestamp) -> bool {
    let reported = [
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["series"]["lastObservedTime"],
    ];
    let mut reported = reported
        .into_iter()
        .filter_map(|time| time.as_str()?.parse::<Timestamp>().ok());
    let created = Meta::of(event).creation_timestamp();
    created.is_some_and(|created| created < oldest) && reported.all(|time| time < oldest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_expire_an_hour_after_their_last_occurrence() {
        let oldest: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let event = |members: Value| {
            let mut event = json!({"metadata": {"creationTimestamp": "2026-01-01T11:00:00Z"}});
            for (name, value) in members.as_object().unwrap() {
                event[name] = value.clone();
            }
            event
        };
        for (members, older) in [
            (json!({}), true),
            (
                json!({"lastTimestamp": null, "eventTime": "2026-01-01T11:30:00.000001Z"}),
                true,
            ),
            (json!({"lastTimestamp": "2026-01-01T12:30:00Z"}), false),
            (
                json!({"series": {"lastObservedTime": "2026-01-01T12:30:00.1Z"}}),
                false,
            ),
            (
                json!({"metadata": {"creationTimestamp": "2026-01-01T12:30:00Z"}}),
                false,
            ),
        ] {
            assert_eq!(
                is_older(&event(members.clone()), oldest),
                older,
                "{members}"
            );
        }
    }
}
