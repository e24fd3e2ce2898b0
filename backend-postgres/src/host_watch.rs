//! Reads the timelines of all hosts, to find a new primary while the old one still runs.

use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
use crate::lineage::Lineage;
use crate::options::Target;
use crate::shared::Shared;

/// Interval at which each of several hosts is read: bounds the time for which an old primary is
/// read after a promotion that leaves it running.
const INTERVAL: Duration = Duration::from_secs(1);

/// Backoff before reconnecting to a host: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// A standby follows the timeline of another server, so it has none of its own.
static LINEAGE: Statement = Statement {
    text: "SELECT system_identifier::text, CASE WHEN NOT pg_is_in_recovery() \
           THEN substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END \
           FROM pg_control_system()",
    types: &[],
};

/// Reads the lineage of a server; `None` for a standby.
pub(crate) async fn lineage(connection: &Connection) -> Result<Option<Lineage>, Error> {
    let row = connection.query_one(&LINEAGE, &[], READ_TIMEOUT).await?;
    let timeline: Option<String> = row.get(1);
    Ok(timeline.map(|timeline| Lineage {
        system: row.get(0),
        timeline,
    }))
}

/// Reads the lineage of a host until shutdown, and reports it.
pub(crate) async fn run(host: Target, shared: Arc<Shared>, stop: CancellationToken) {
    let mut pauses = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
    let watching = async {
        loop {
            // Why a host is not reachable matters where it is needed.
            if let Ok(connection) = Connection::observe(&host).await {
                pauses = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
                while let Ok(found) = lineage(&connection).await {
                    if let Some(found) = found {
                        shared.discover(&found);
                    }
                    sleep(INTERVAL).await;
                }
            }
            pauses.pause().await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = watching => {}
    }
}
