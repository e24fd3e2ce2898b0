//! Overlay of a list at a past revision: the values that later changes replaced.
//!
//! Keys are read ahead in batches, and then the values of as many keys as fit a chunk. The keys are
//! scattered between those of the objects, and one query per key would dominate the duration of the
//! list.

use std::collections::{HashMap, VecDeque};

use backend_proto::limits::CHUNK_BYTES;
use tokio_postgres::types::{ToSql, Type};

use super::{Bounds, NEXT, ROW_BYTES};
use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
use crate::read::stored;
use crate::record::Stored;

/// Keys read ahead per query. Each query scans the whole log after the revision, so few keys would
/// repeat that scan, and many would use much memory.
const KEYS: u64 = 1 << 15;

static CHANGES: Statement = Statement {
    text: "SELECT path, revision, octet_length(old_value) FROM ark.log \
           WHERE revision > $4 AND resource = $1 \
           AND path >= $2 AND path < $3 AND previous BETWEEN 1 AND $4 \
           AND (NOT $5 OR strpos(path, '/') = 0) ORDER BY path LIMIT $6",
    types: &[
        Type::INT4,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::BOOL,
        Type::INT8,
    ],
};

static REPLACED: Statement = Statement {
    text: "SELECT revision, previous, create_revision, created_at, old_time, old_sum, old_idx, \
             old_value \
           FROM ark.log WHERE revision = ANY($1)",
    types: &[Type::INT8_ARRAY],
};

/// The remaining part of an overlay.
pub(super) struct Overlay {
    at: i64,
    /// Maximum keys per query.
    most: i64,
    /// First key not read yet, or `None` if all keys are read.
    unread: Option<String>,
    /// Changes whose values are not read yet, in key order.
    changes: VecDeque<Change>,
    /// Values read already, in key order; all before `changes`.
    ready: VecDeque<(String, Stored)>,
}

/// First change of a key after the list's revision.
struct Change {
    path: String,
    revision: i64,
    /// Size of the replaced value.
    bytes: i64,
}

impl Overlay {
    /// Creates the overlay at a revision; `limit` is the maximum number of records of the list, or
    /// 0.
    pub(super) fn new(at: i64, limit: u64, from: &str) -> Self {
        let most = match limit {
            0 => KEYS,
            limit => limit.saturating_add(1).min(KEYS),
        };
        Self {
            at,
            most: most as i64,
            unread: Some(from.to_owned()),
            changes: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// Creates the empty overlay of a list at the newest revision.
    pub(super) fn empty() -> Self {
        Self {
            at: 0,
            most: 0,
            unread: None,
            changes: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// Returns the next key and its value, if it sorts before `path`.
    pub(super) async fn next(
        &mut self,
        connection: &Connection,
        bounds: &Bounds,
        path: Option<&str>,
    ) -> Result<Option<(String, Stored)>, Error> {
        let is_due = |key: &str| path.is_none_or(|path| key < path);
        if self.ready.is_empty() {
            if self.changes.is_empty()
                && let Some(from) = self.unread.take_if(|from| is_due(from))
            {
                self.read_changes(connection, bounds, from).await?;
            }
            if self.changes.front().is_some_and(|it| is_due(&it.path)) {
                self.read_values(connection).await?;
            }
        }
        Ok(self.ready.pop_front_if(|(key, _)| is_due(key)))
    }

    async fn read_changes(
        &mut self,
        connection: &Connection,
        bounds: &Bounds,
        from: String,
    ) -> Result<(), Error> {
        let parameters: [&(dyn ToSql + Sync); 6] = [
            &bounds.resource,
            &from,
            &bounds.end,
            &self.at,
            &bounds.cluster_only,
            &self.most,
        ];
        let rows = connection
            .query(&CHANGES, &parameters, READ_TIMEOUT * 4)
            .await?;
        let last = rows.last().filter(|_| rows.len() as i64 == self.most);
        self.unread = last.map(|row| row.get::<_, String>(0) + NEXT);
        let changes = rows.iter().map(|row| Change {
            path: row.get(0),
            revision: row.get(1),
            bytes: row.get::<_, Option<i32>>(2).unwrap_or(0).into(),
        });
        self.changes = changes.collect();
        Ok(())
    }

    /// Reads the values of the next changes: at least one, and as many as fit a chunk.
    async fn read_values(&mut self, connection: &Connection) -> Result<(), Error> {
        let mut room = CHUNK_BYTES as i64;
        let mut count = 0;
        for change in &self.changes {
            room -= change.bytes + ROW_BYTES;
            if room < 0 && count > 0 {
                break;
            }
            count += 1;
        }
        let changes: Vec<Change> = self.changes.drain(..count).collect();
        let revisions: Vec<i64> = changes.iter().map(|change| change.revision).collect();
        let parameters: [&(dyn ToSql + Sync); 1] = [&revisions];
        let rows = connection
            .query(&REPLACED, &parameters, READ_TIMEOUT * 4)
            .await?;
        let mut values: HashMap<i64, Stored> = rows
            .iter()
            .filter_map(|row| Some((row.get(0), stored(row, 1)?)))
            .collect();
        for Change { path, revision, .. } in changes {
            let Some(value) = values.remove(&revision) else {
                return Err(Error::Corrupt(format!("the log has no row {revision}")));
            };
            self.ready.push_back((path, value));
        }
        Ok(())
    }
}
