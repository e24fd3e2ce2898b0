//! Compaction: advances the compact revision and drops partitions of the log below it.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};

use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
use crate::store::{self, LOCK, StoreState};

/// A hundred years in nanoseconds.
const LONGEST_AGE: i64 = 100 * 365 * 24 * 3600 * 1_000_000_000;

static MOVE: Statement = Statement {
    text: "UPDATE ark.store SET compact_revision = $1 WHERE revision = $2 RETURNING true",
    types: &[Type::INT8, Type::INT8],
};

static DROP: Statement = Statement {
    text: "SELECT ark.drop_log()",
    types: &[],
};

/// Newest change that is old enough to be compacted, together with all changes before it. All times
/// are those of the database's clock, which may have been ahead: a change of the future says nothing
/// about its age, and is as old as the changes after it. Scans only changes that expired since the
/// last compaction.
static EXPIRED: Statement = Statement {
    text: "WITH clock AS MATERIALIZED (\
             SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint AS now\
           ), kept AS MATERIALIZED (\
             SELECT l.revision FROM ark.log l, clock \
             WHERE l.revision > $1 \
               AND (l.revision > $2 OR l.time >= clock.now - $3 AND l.time <= clock.now) \
             ORDER BY l.revision LIMIT 1\
           ) SELECT l.revision FROM ark.log l, clock \
           WHERE l.revision > $1 AND l.revision <= $2 AND l.time < clock.now - $3 \
             AND l.revision < coalesce((SELECT revision FROM kept), $2 + 1) \
           ORDER BY l.revision DESC LIMIT 1",
    types: &[Type::INT8, Type::INT8, Type::INT8],
};

/// Advances the compact revision to `revision`.
pub(crate) async fn move_to(connection: &Connection, revision: i64) -> Result<StoreState, Error> {
    connection.begin().await?;
    let mut store_state =
        StoreState::read(&connection.query_one(&LOCK, &[], READ_TIMEOUT * 2).await?);
    store_state.require_complete()?;
    let head = store_state.head;
    if let Err(future) = head.reached(revision) {
        connection.commit(READ_TIMEOUT).await?;
        return Err(future.into());
    }
    if revision > head.compact_revision {
        let parameters: [&(dyn ToSql + Sync); 2] = [&revision, &head.revision];
        connection
            .query_one(&MOVE, &parameters, READ_TIMEOUT)
            .await?;
        store_state.head.compact_revision = revision;
    }
    connection.commit(READ_TIMEOUT * 4).await?;
    Ok(store_state)
}

/// Drops partitions below the compact revision. A partition in use is skipped until the next time.
pub(crate) async fn drop_partitions(connection: &Connection) {
    match connection.query(&DROP, &[], READ_TIMEOUT * 4).await {
        Ok(_) | Err(Error::Overloaded) => {}
        Err(error) => tracing::warn!(%error, "cannot drop partitions of the log"),
    }
}

/// Returns the newest revision that is both older than `keep` and not among the last `keep_events`.
pub(crate) async fn target(
    connection: &Connection,
    keep: Duration,
    keep_events: u64,
) -> Result<Option<i64>, Error> {
    let head = store::read(connection).await?.head;
    let events = i64::try_from(keep_events).unwrap_or(i64::MAX);
    let highest = head.revision.saturating_sub(events);
    if highest <= head.compact_revision {
        return Ok(None);
    }
    // At most a hundred years, so that the difference to the clock is a valid number.
    let age = i64::try_from(keep.as_nanos())
        .unwrap_or(i64::MAX)
        .min(LONGEST_AGE);
    let parameters: [&(dyn ToSql + Sync); 3] = [&head.compact_revision, &highest, &age];
    let rows = connection
        .query(&EXPIRED, &parameters, READ_TIMEOUT * 4)
        .await?;
    Ok(rows.first().map(|row| row.get(0)))
}
