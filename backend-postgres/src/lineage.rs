//! The cluster and the timeline of a server. Of two servers of one cluster that accept writes, the
//! one on the earlier timeline has been deposed: its commits will be lost.

use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
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

/// Cluster and timeline of a server that accepts writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// System identifier of the cluster.
    pub(crate) system: String,
    /// Eight hexadecimal digits.
    pub(crate) timeline: String,
}

impl Lineage {
    /// Whether a server of the same cluster is on a later timeline. Clusters are not comparable: a
    /// dump may have been loaded into a younger one.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        self.system == other.system && self.timeline < other.timeline
    }

    /// Reads the lineage of a server; `None` for a standby.
    pub(crate) async fn read(connection: &Connection) -> Result<Option<Self>, Error> {
        let row = connection.query_one(&LINEAGE, &[], READ_TIMEOUT).await?;
        let timeline: Option<String> = row.get(1);
        Ok(timeline.map(|timeline| Self {
            system: row.get(0),
            timeline,
        }))
    }
}

/// Reads the lineage of a host until shutdown, and reports it.
pub(crate) async fn watch(host: Target, shared: Arc<Shared>, stop: CancellationToken) {
    let mut pauses = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
    let watching = async {
        loop {
            // Why a host is not reachable matters where it is needed.
            if let Ok(connection) = Connection::observe(&host).await {
                pauses = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
                while let Ok(found) = Lineage::read(&connection).await {
                    if let Some(lineage) = found {
                        shared.discover(&lineage);
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

#[cfg(test)]
mod tests {
    use super::Lineage;

    #[test]
    fn timelines_compare_within_one_cluster() {
        let lineage = |system: &str, timeline: &str| Lineage {
            system: system.to_owned(),
            timeline: timeline.to_owned(),
        };
        assert!(lineage("a", "00000009").is_before(&lineage("a", "0000000A")));
        assert!(!lineage("a", "00000002").is_before(&lineage("a", "00000002")));
        assert!(!lineage("a", "00000003").is_before(&lineage("a", "00000002")));
        assert!(!lineage("a", "00000001").is_before(&lineage("b", "00000002")));
    }
}
