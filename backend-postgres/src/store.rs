//! The row of `store`: identity and position of the store, and when a new epoch begins.

use std::time::SystemTime;

use sidecar::head::Head;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
use crate::lineage::Lineage;

/// Columns of `ark.store` (alias `s`) that [`StoreState::read`] expects.
macro_rules! store_state {
    () => {
        "s.store_id, s.epoch, s.revision, s.compact_revision, s.fenced, \
         s.import_source IS NOT NULL, \
         s.timeline = substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
    };
}
pub(crate) use store_state;

/// The row as a subquery with that alias. It avoids a scan of the row's dead versions: see the
/// schema.
macro_rules! newest {
    () => {
        "(SELECT * FROM ark.store WHERE revision > 0 ORDER BY revision DESC LIMIT 1) s"
    };
}
pub(crate) use newest;

/// Number of these columns.
pub(crate) const STATE_COLUMNS: usize = 7;

static READ: Statement = Statement {
    text: concat!("SELECT ", store_state!(), " FROM ", newest!()),
    types: &[],
};

/// Reads the row and locks out other writers until the transaction ends. A statement that waited
/// for another writer reads the version committed by it: the update changes the row in place.
pub(crate) static LOCK: Statement = Statement {
    text: concat!(
        "SELECT ",
        store_state!(),
        " FROM ark.store s WHERE s.revision > 0 ORDER BY s.revision DESC LIMIT 1 FOR UPDATE"
    ),
    types: &[],
};

/// Whether the row was written elsewhere, and the current origin: cluster, database, table and
/// timeline. A table restored from a dump has another OID than the dumped one.
static ORIGIN: Statement = Statement {
    text: "SELECT s.origin <> h.origin, h.origin, h.system, \
           substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) \
           FROM ark.store s CROSS JOIN LATERAL ( \
             SELECT concat_ws('/', c.system_identifier, d.oid, s.tableoid) AS origin, \
               c.system_identifier::text AS system \
             FROM pg_control_system() c, pg_database d \
             WHERE d.datname = current_database()) h \
           WHERE s.revision > 0 ORDER BY s.revision DESC LIMIT 1",
    types: &[],
};

/// Changes above the row's revision, in one snapshot with the row. An unfinished import has
/// revisions of its source.
static BEHIND: Statement = Statement {
    text: concat!(
        "SELECT s.revision, l.newest FROM ",
        newest!(),
        " CROSS JOIN LATERAL (SELECT max(revision) AS newest FROM ark.log \
           WHERE revision > s.revision) l \
         WHERE s.import_source IS NULL AND l.newest IS NOT NULL"
    ),
    types: &[],
};

static BEGIN_EPOCH: Statement = Statement {
    text: "UPDATE ark.store SET epoch = $1, revision = $2, compact_revision = $2, \
           origin = $3, timeline = $4 WHERE revision = $5 RETURNING true",
    types: &[Type::INT8, Type::INT8, Type::TEXT, Type::TEXT, Type::INT8],
};

/// The row of `store` as read by one statement.
#[derive(Clone, Debug)]
pub(crate) struct StoreState {
    pub(crate) store_id: String,
    pub(crate) head: Head,
    pub(crate) fenced: Option<String>,
    pub(crate) importing: bool,
    /// Whether the row was written on the server's current timeline.
    pub(crate) here: bool,
}

impl StoreState {
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

    /// Rejects a row with numbers that no valid store has.
    pub(crate) fn validated(self) -> Result<Self, Error> {
        self.head.check()?;
        Ok(self)
    }

    /// Returns an error while an import is unfinished.
    pub(crate) fn require_complete(&self) -> Result<(), Error> {
        if self.importing {
            return Err(Error::Importing);
        }
        Ok(())
    }

    /// Whether this state may lack observed commits: it is on another timeline, or below `floor`.
    pub(crate) fn regressed(&self, floor: &Floor) -> bool {
        let below = (self.head.epoch, self.head.revision) < (floor.epoch, floor.revision);
        !self.here || (self.store_id == floor.store_id && below)
    }
}

/// Highest state observed by this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Floor {
    pub(crate) store_id: String,
    pub(crate) epoch: i64,
    pub(crate) revision: i64,
    /// Lineage of the primary, if it was reachable recently.
    pub(crate) primary: Option<Lineage>,
}

impl Floor {
    /// Rejects a server that has been deposed: clients would read what is no longer true, and an
    /// epoch that begins there would end with the next look at the primary.
    fn check(&self, found: &Lineage) -> Result<(), Error> {
        match &self.primary {
            Some(primary) if found.is_before(primary) => Err(Error::Unreachable(format!(
                "the server has been deposed: it is on timeline {}, the primary on {}; stop it, or \
                 make it a standby",
                found.timeline, primary.timeline
            ))),
            _ => Ok(()),
        }
    }

    fn head(&self) -> Head {
        Head {
            epoch: self.epoch,
            revision: self.revision,
            compact_revision: self.epoch,
        }
    }
}

/// Reads the row of `store`.
pub(crate) async fn read(connection: &Connection) -> Result<StoreState, Error> {
    let row = connection.query_one(&READ, &[], READ_TIMEOUT).await?;
    StoreState::read(&row).validated()
}

/// Rejects a row that is older than the newest change: revisions would be issued twice.
async fn check_newest_row(connection: &Connection) -> Result<(), Error> {
    let rows = connection.query(&BEHIND, &[], READ_TIMEOUT).await?;
    match rows.first() {
        Some(row) => Err(Error::Refused(format!(
            "the row of the table ark.store is damaged: it has revision {}, and there are changes \
             up to {}: restore a backup",
            row.get::<_, i64>(0),
            row.get::<_, i64>(1)
        ))),
        None => Ok(()),
    }
}

/// Inspects a newly connected server, and begins a new epoch if commits may be missing.
pub(crate) async fn inspect(
    connection: &Connection,
    floor: &Floor,
    now: SystemTime,
) -> Result<(StoreState, Lineage), Error> {
    let store_state = read(connection).await?;
    check_newest_row(connection).await?;
    let row_origin = RowOrigin::look(connection).await?;
    floor.check(&row_origin.lineage)?;
    if row_origin.foreign || store_state.regressed(floor) {
        let store_state = begin_epoch(connection, floor, now).await?;
        return Ok((store_state, row_origin.lineage));
    }
    Ok((store_state, row_origin.lineage))
}

/// Begins a new epoch, unless another process just did.
pub(crate) async fn begin_epoch(
    connection: &Connection,
    floor: &Floor,
    now: SystemTime,
) -> Result<StoreState, Error> {
    connection.begin().await?;
    let mut store_state =
        StoreState::read(&connection.query_one(&LOCK, &[], READ_TIMEOUT).await?).validated()?;
    let row_origin = RowOrigin::look(connection).await?;
    // A pooler may have changed the server since.
    floor.check(&row_origin.lineage)?;
    if row_origin.foreign || store_state.regressed(floor) {
        let newest = store_state.head.max_of(floor.head());
        tracing::warn!(
            timeline = row_origin.lineage.timeline,
            was = store_state.head.revision,
            seen = floor.revision,
            "the database may lack commits: a new epoch begins"
        );
        row_origin
            .begin_above(connection, &mut store_state, newest, now)
            .await?;
    }
    connection.commit(READ_TIMEOUT * 4).await?;
    Ok(store_state)
}

/// Begins a new epoch unconditionally, at an operator's request.
pub(crate) async fn begin_epoch_anyway(
    connection: &Connection,
    now: SystemTime,
) -> Result<StoreState, Error> {
    connection.begin().await?;
    let mut store_state =
        StoreState::read(&connection.query_one(&LOCK, &[], READ_TIMEOUT).await?).validated()?;
    store_state.require_complete()?;
    let row_origin = RowOrigin::look(connection).await?;
    let newest = store_state.head;
    row_origin
        .begin_above(connection, &mut store_state, newest, now)
        .await?;
    connection.commit(READ_TIMEOUT * 4).await?;
    Ok(store_state)
}

/// Origin of the row of `store`.
struct RowOrigin {
    /// Whether the row was written elsewhere.
    foreign: bool,
    origin: String,
    lineage: Lineage,
}

impl RowOrigin {
    async fn look(connection: &Connection) -> Result<Self, Error> {
        let row = connection.query_one(&ORIGIN, &[], READ_TIMEOUT).await?;
        Ok(Self {
            foreign: row.get(0),
            origin: row.get(1),
            lineage: Lineage {
                system: row.get(2),
                timeline: row.get(3),
            },
        })
    }

    /// Begins an epoch above `newest`.
    async fn begin_above(
        &self,
        connection: &Connection,
        store_state: &mut StoreState,
        newest: Head,
        now: SystemTime,
    ) -> Result<(), Error> {
        let head = Head::begin(newest, now)?;
        let parameters: [&(dyn ToSql + Sync); 5] = [
            &head.epoch,
            &head.revision,
            &self.origin,
            &self.lineage.timeline,
            &store_state.head.revision,
        ];
        connection
            .query_one(&BEGIN_EPOCH, &parameters, READ_TIMEOUT)
            .await?;
        store_state.head = head;
        store_state.here = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Floor, Head, StoreState};

    fn store_state(epoch: i64, revision: i64, here: bool) -> StoreState {
        StoreState {
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
    fn state_below_observed_one_is_a_regression() {
        let floor = Floor {
            store_id: "a".to_owned(),
            epoch: 2,
            revision: 20,
            primary: None,
        };
        assert!(!store_state(2, 20, true).regressed(&floor));
        assert!(!store_state(3, 1, true).regressed(&floor));
        assert!(store_state(2, 19, true).regressed(&floor));
        assert!(store_state(1, 99, true).regressed(&floor));
        assert!(store_state(2, 20, false).regressed(&floor));
        let other = Floor {
            store_id: "b".to_owned(),
            ..floor
        };
        assert!(!store_state(1, 1, true).regressed(&other));
    }
}
