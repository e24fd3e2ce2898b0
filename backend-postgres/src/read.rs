//! Reads with a single statement: a record, and the log.

use backend_proto::v1::{Event, Key};
use bytes::Bytes;
use sidecar::key::{key_of, path_of};
use sidecar::op::origin_of;
use sidecar::time::timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
use crate::record::{DELETED, Stored};
use crate::resources::Resources;
use crate::store::{self, STATE_COLUMNS, StoreState, newest, store_state};

/// Estimated bytes of an event besides its value.
const EVENT_BYTES: i64 = 512;

/// Maximum rows of the log per read.
const LOG_ROWS: i64 = 1024;

static CURRENT: Statement = Statement {
    text: concat!(
        "SELECT ",
        store_state!(),
        ", o.revision, o.create_revision, o.created_at, o.time, o.sum, o.idx, o.value \
         FROM ",
        newest!(),
        " LEFT JOIN ark.object o ON o.resource = $1 AND o.path = $2"
    ),
    types: &[Type::INT4, Type::TEXT],
};

/// First change after a revision that replaced a value as old as that revision.
static REPLACED: Statement = Statement {
    text: "SELECT previous, create_revision, created_at, old_time, old_sum, old_idx, old_value \
           FROM ark.log WHERE revision > $1 AND resource = $2 AND path = $3 \
           AND previous BETWEEN 1 AND $1 ORDER BY revision LIMIT 1",
    types: &[Type::INT8, Type::INT4, Type::TEXT],
};

/// Size of all tables, with indexes and TOAST. Partitions are tables of their own.
static USED: Statement = Statement {
    text: "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
      WHERE relnamespace = 'ark'::regnamespace AND relkind = 'r'",
    types: &[],
};

/// Number of records. Counted exactly while that takes milliseconds; above that the planner's
/// estimate, from the last ANALYZE and the growth of the table since. NULL before the first
/// ANALYZE.
static COUNT: Statement = Statement {
    text: "SELECT CASE
        WHEN size <= 16777216 THEN (SELECT count(*) FROM ark.object)
        WHEN reltuples > 0 AND relpages > 0
          THEN (reltuples / relpages * (size / current_setting('block_size')::bigint))::bigint
      END
      FROM (SELECT reltuples, relpages, pg_relation_size(oid) AS size FROM pg_class
            WHERE oid = 'ark.object'::regclass) t",
    types: &[],
};

/// Changes after a revision with their values. A value is in `object` until it is replaced, then in
/// the log row of the change that replaced it. Returns as many rows as fit the number of bytes, at
/// least one. The condition `previous > 0` is needed to match the partial index.
static LOG: Statement = Statement {
    text: concat!(
        "SELECT ",
        store_state!(),
        ", e.* FROM ",
        newest!(),
        " LEFT JOIN LATERAL (
           SELECT l.revision, r.api_group, r.resource, l.path, l.change, l.previous, l.time, l.actor,
             l.create_revision, l.created_at,
             CASE WHEN l.change = 3 THEN l.old_time ELSE l.time END,
             CASE WHEN l.change = 3 THEN l.old_sum WHEN o.path IS NULL THEN n.old_sum ELSE o.sum END,
             CASE WHEN l.change = 3 THEN l.old_idx WHEN o.path IS NULL THEN n.old_idx ELSE o.idx END,
             CASE WHEN l.change = 3 THEN l.old_value WHEN o.path IS NULL THEN n.old_value
                  ELSE o.value END,
             l.manager, l.verb, l.subresource
           FROM (
             SELECT t.*, sum(t.size::bigint + $2) OVER (ORDER BY t.revision) - t.size - $2 AS before
             FROM (SELECT * FROM ark.log WHERE revision > $1 ORDER BY revision LIMIT $3) t
           ) l
           JOIN ark.resource r ON r.id = l.resource
           LEFT JOIN ark.object o ON l.change <> 3 AND o.resource = l.resource AND o.path = l.path
             AND o.revision = l.revision
           LEFT JOIN LATERAL (
             SELECT t.old_sum, t.old_idx, t.old_value FROM ark.log t
             WHERE t.previous = l.revision AND t.previous > 0 AND t.revision > l.revision LIMIT 1
           ) n ON l.change <> 3 AND o.path IS NULL
           WHERE l.before < $4
         ) e ON true ORDER BY e.revision"
    ),
    types: &[Type::INT8, Type::INT8, Type::INT8, Type::INT8],
};

/// Returns the size of the tables of the store with their indexes, bytes.
pub(crate) async fn used_bytes(connection: &Connection) -> Result<u64, Error> {
    let row = connection.query_one(&USED, &[], READ_TIMEOUT).await?;
    let bytes: i64 = row.get(0);
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Returns the approximate number of records, if known.
pub(crate) async fn count(connection: &Connection) -> Result<Option<u64>, Error> {
    let row = connection.query_one(&COUNT, &[], READ_TIMEOUT).await?;
    let count: Option<i64> = row.get(0);
    Ok(count.and_then(|count| u64::try_from(count).ok()))
}

/// Events of the log, and the revision up to which they are complete.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) store_state: StoreState,
    pub(crate) events: Vec<Event>,
    pub(crate) up_to_revision: i64,
}

/// Returns a record at a revision, or the latest for 0.
pub(crate) async fn get(
    connection: &Connection,
    resources: &Resources,
    key: &Key,
    revision: i64,
) -> Result<(StoreState, Option<Stored>), Error> {
    let (group, resource) = (key.group.as_str(), key.resource.as_str());
    let id = match resources.known(connection, group, resource) {
        Some(id) => id,
        None => {
            // Read the state before the search: then a record that is not found did not exist at
            // this state.
            let store_state = store::read(connection).await?;
            store_state.head.readable(revision)?;
            match resources.find(connection, group, resource).await? {
                Some(id) => id,
                None => return Ok((store_state, None)),
            }
        }
    };
    // PostgreSQL text cannot hold a zero byte, and no stored path holds two slashes, so the
    // substitute matches nothing.
    let path = path_of(key).replace('\0', "//");
    if revision == 0 {
        let row = connection
            .query_one(&CURRENT, &[&id, &path], READ_TIMEOUT)
            .await?;
        return Ok((StoreState::read(&row), stored(&row, STATE_COLUMNS)));
    }
    connection.begin_history_snapshot().await?;
    let row = connection
        .query_one(&CURRENT, &[&id, &path], READ_TIMEOUT)
        .await?;
    let store_state = StoreState::read(&row);
    let at = store_state.head.readable(revision);
    let mut found = stored(&row, STATE_COLUMNS).filter(|stored| stored.revision <= revision);
    if found.is_none() && at.is_ok() {
        let rows = connection
            .query(&REPLACED, &[&revision, &id, &path], READ_TIMEOUT * 4)
            .await?;
        found = rows.first().and_then(|row| stored(row, 0));
    }
    connection.commit(READ_TIMEOUT).await?;
    at?;
    Ok((store_state, found))
}

/// Reads seven columns of a row as a stored value; `None` if they are NULL.
pub(crate) fn stored(row: &Row, first: usize) -> Option<Stored> {
    Some(Stored {
        revision: row.get::<_, Option<i64>>(first)?,
        create_revision: row.get(first + 1),
        created_at: row.get(first + 2),
        time: row.get(first + 3),
        sum: row.get(first + 4),
        index: row.get(first + 5),
        value: row
            .get::<_, Option<&[u8]>>(first + 6)
            .map(Bytes::copy_from_slice),
    })
}

/// Returns events after a revision, about `max_bytes` of them.
pub(crate) async fn log(
    connection: &Connection,
    after: i64,
    max_bytes: usize,
) -> Result<Page, Error> {
    let most = i64::try_from(max_bytes).unwrap_or(i64::MAX);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&after, &EVENT_BYTES, &LOG_ROWS, &most];
    let rows = connection.query(&LOG, &parameters, READ_TIMEOUT).await?;
    let first = rows.first().map(StoreState::read);
    let store_state =
        first.ok_or_else(|| Error::Refused("the table ark.store is empty".to_owned()))?;
    let events: Vec<Event> = rows.iter().filter_map(event).collect();
    // The page is from one snapshot and has no gaps, so it is complete up to its last event.
    let up_to_revision = events
        .last()
        .map_or(store_state.head.revision, |event| event.revision);
    Ok(Page {
        store_state,
        events,
        up_to_revision,
    })
}

fn event(row: &Row) -> Option<Event> {
    let column = |place: usize| STATE_COLUMNS + place;
    let revision: i64 = row.get::<_, Option<i64>>(column(0))?;
    let key = key_of(row.get(column(1)), row.get(column(2)), row.get(column(3)));
    let kind: i16 = row.get(column(4));
    let previous: i64 = row.get(column(5));
    let stored = Stored {
        revision: if kind == DELETED { previous } else { revision },
        create_revision: row.get(column(8)),
        created_at: row.get(column(9)),
        time: row.get::<_, Option<i64>>(column(10)).unwrap_or(0),
        sum: row.get(column(11)),
        index: row.get(column(12)),
        value: row
            .get::<_, Option<&[u8]>>(column(13))
            .map(Bytes::copy_from_slice),
    };
    Some(Event {
        revision,
        r#type: i32::from(kind),
        record: Some(stored.into_record(key)),
        previous_revision: previous,
        time: Some(timestamp(row.get(column(6)))),
        actor: row.get(column(7)),
        origin: origin_of(
            row.get(column(14)),
            row.get(column(15)),
            row.get(column(16)),
        ),
    })
}
