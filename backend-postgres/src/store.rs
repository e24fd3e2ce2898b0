//! The row of `store`: who the store is, where it stands, and when a new epoch begins.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backend_proto::limits::epoch_base;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::connection::{ANSWER, Connection, Statement};
use crate::error::Error;

/// The columns that [`Stand::read`] expects, of `ark.store` under the alias `s`.
macro_rules! stand {
    () => {
        "s.store_id, s.epoch, s.revision, s.compact_revision, s.fenced, \
         s.import_source IS NOT NULL, \
         s.timeline = substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
    };
}
pub(crate) use stand;

/// How many columns those are.
pub(crate) const STAND: usize = 7;

static READ: Statement = Statement {
    text: concat!("SELECT ", stand!(), " FROM ark.store s WHERE s.lane = 0"),
    types: &[],
};

/// Reads the row and keeps everybody else from writing until the transaction ends.
pub(crate) static LOCK: Statement = Statement {
    text: concat!(
        "SELECT ",
        stand!(),
        " FROM ark.store s WHERE s.lane = 0 FOR UPDATE"
    ),
    types: &[],
};

/// Whether the row was written by another database cluster than this: restored elsewhere.
static FOREIGN: Statement = Statement {
    text: "SELECT s.system_id <> c.system_identifier::text, c.system_identifier::text, \
           substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) \
           FROM ark.store s, pg_control_system() c WHERE s.lane = 0",
    types: &[],
};

static BEGIN_EPOCH: Statement = Statement {
    text: "UPDATE ark.store SET epoch = $1, revision = $2, compact_revision = $2, \
           system_id = $3, timeline = $4 WHERE lane = 0",
    types: &[Type::INT8, Type::INT8, Type::TEXT, Type::TEXT],
};

/// 2026-01-01, and the length of one number of an epoch since then.
const EPOCHS_SINCE: Duration = Duration::from_secs(1_767_225_600);
const EPOCH_SECONDS: u64 = 600;

/// Where the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Head {
    pub(crate) epoch: i64,
    /// Newest committed revision.
    pub(crate) revision: i64,
    pub(crate) compact_revision: i64,
}

/// The row of `store` as one statement saw it.
#[derive(Clone, Debug)]
pub(crate) struct Stand {
    pub(crate) store_id: String,
    pub(crate) head: Head,
    pub(crate) fenced: Option<String>,
    pub(crate) importing: bool,
    /// The row was written on the timeline that the server is on.
    pub(crate) here: bool,
}

impl Stand {
    pub(crate) fn read(row: &Row) -> Self {
        Self {
            store_id: row.get(0),
            head: Head {
                epoch: row.get(1),
                revision: row.get(2),
                compact_revision: row.get(3),
            },
            fenced: row.get(4),
            importing: row.get(5),
            here: row.get(6),
        }
    }

    /// Refuses while an import is unfinished.
    pub(crate) fn whole(&self) -> Result<(), Error> {
        if self.importing {
            return Err(Error::Importing);
        }
        Ok(())
    }

    /// Whether this may lack commits that somebody saw: it is on another timeline, or below `floor`.
    pub(crate) fn went_back(&self, floor: &Floor) -> bool {
        let below = (self.head.epoch, self.head.revision) < (floor.epoch, floor.revision);
        !self.here || (self.store_id == floor.store_id && below)
    }
}

impl Head {
    /// Checks that state at `revision` can be read; 0 stands for the latest.
    pub(crate) fn readable(self, revision: i64) -> Result<i64, Error> {
        if revision == 0 {
            return Ok(self.revision);
        }
        if revision > self.revision {
            return Err(Error::Future {
                asked: revision,
                current: self.revision,
            });
        }
        if revision < self.compact_revision {
            return Err(Error::Compacted {
                compact_revision: self.compact_revision,
            });
        }
        Ok(revision)
    }
}

/// The highest state that this process ever saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Floor {
    pub(crate) store_id: String,
    pub(crate) epoch: i64,
    pub(crate) revision: i64,
}

/// Reads the row of `store`.
pub(crate) async fn read(connection: &Connection) -> Result<Stand, Error> {
    let row = connection.query_one(&READ, &[], ANSWER).await?;
    Ok(Stand::read(&row))
}

/// Looks at a server that was just connected to, and begins a new epoch if commits may be missing.
pub(crate) async fn inspect(connection: &Connection, floor: &Floor) -> Result<Stand, Error> {
    let stand = read(connection).await?;
    let row = connection.query_one(&FOREIGN, &[], ANSWER).await?;
    if row.get(0) || stand.went_back(floor) {
        return begin_epoch(connection, floor).await;
    }
    Ok(stand)
}

/// Begins a new epoch, unless another process just did: all history before it counts as compacted,
/// so that every reader starts afresh.
pub(crate) async fn begin_epoch(connection: &Connection, floor: &Floor) -> Result<Stand, Error> {
    connection.begin().await?;
    let mut stand = Stand::read(&connection.query_one(&LOCK, &[], ANSWER).await?);
    let row = connection.query_one(&FOREIGN, &[], ANSWER).await?;
    let foreign: bool = row.get(0);
    if foreign || stand.went_back(floor) {
        let (system, timeline): (String, String) = (row.get(1), row.get(2));
        let newest = stand.head.epoch.max(floor.epoch);
        let epoch = next_epoch(newest, SystemTime::now(), number_of(&timeline));
        let base = epoch_base(epoch);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&epoch, &base, &system, &timeline];
        connection.query(&BEGIN_EPOCH, &parameters, ANSWER).await?;
        tracing::warn!(
            epoch,
            timeline,
            was = stand.head.revision,
            seen = floor.revision,
            "the database may lack commits: a new epoch begins"
        );
        stand.head = Head {
            epoch,
            revision: base,
            compact_revision: base,
        };
        stand.here = true;
    }
    connection.commit(ANSWER * 4).await?;
    Ok(stand)
}

/// The number of an epoch that begins now. A database that was set back does not know of epochs
/// that began after what it remembers, and nobody else may be left who does: so the number also
/// follows the clock and, as two may begin within one step of the clock, the timeline, of which each
/// restore and each promotion takes a new one.
fn next_epoch(newest: i64, now: SystemTime, timeline: i64) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let slots = since.saturating_sub(EPOCHS_SINCE).as_secs() / EPOCH_SECONDS;
    (newest + 1).max(i64::try_from(slots).unwrap_or(0) + timeline)
}

/// A timeline as names of log files have it.
fn number_of(timeline: &str) -> i64 {
    i64::from_str_radix(timeline, 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{EPOCHS_SINCE, Floor, Head, Stand, UNIX_EPOCH, next_epoch, number_of};

    fn stand(epoch: i64, revision: i64, here: bool) -> Stand {
        Stand {
            store_id: "a".to_owned(),
            head: Head {
                epoch,
                revision,
                compact_revision: 0,
            },
            fenced: None,
            importing: false,
            here,
        }
    }

    #[test]
    fn what_was_seen_cannot_be_taken_back() {
        let floor = Floor {
            store_id: "a".to_owned(),
            epoch: 2,
            revision: 20,
        };
        assert!(!stand(2, 20, true).went_back(&floor));
        assert!(!stand(3, 1, true).went_back(&floor));
        assert!(stand(2, 19, true).went_back(&floor));
        assert!(stand(1, 99, true).went_back(&floor));
        assert!(stand(2, 20, false).went_back(&floor));
        let other = Floor {
            store_id: "b".to_owned(),
            ..floor
        };
        assert!(!stand(1, 1, true).went_back(&other));
    }

    #[test]
    fn an_epoch_is_new_even_to_a_database_that_forgot() {
        let start = UNIX_EPOCH + EPOCHS_SINCE;
        assert_eq!(next_epoch(1, start, 1), 2);
        let year = start + Duration::from_secs(31_536_000);
        assert_eq!(next_epoch(1, year, 0), 52_560);
        assert_eq!(next_epoch(60_000, year, 7), 60_001);
        let (second, third) = (number_of("00000002"), number_of("0000000A"));
        assert!(next_epoch(1, year, second) < next_epoch(1, year, third));
    }
}
