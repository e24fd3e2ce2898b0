//! Lists in key order: short transactions, all reading state at one revision.
//!
//! State at revision r is the current rows with a revision ≤ r and, for every key that changed
//! after r, the row replaced by its first later change. The second part is the *overlay*. It is
//! updated in the same transaction that reads a chunk of current rows, so both always match
//! although the store changes between chunks.

use std::collections::BTreeMap;

use backend_proto::limits::CHUNK_BYTES;
use backend_proto::v1::Record;
use prost::Message as _;
use rusqlite::types::Value;
use rusqlite::{Connection, ToSql};
use sidecar::driver::ListQuery;
use sidecar::head::Head;
use sidecar::key::{key_of, path, path_of};

use crate::error::Error;
use crate::pins::Pin;
use crate::read::{self, resource_id};
use crate::record::{Entry, columns};
use crate::schema::read_head;

/// Rows of the log added to the overlay per step: keeps read transactions short.
const OVERLAY_STEP: i64 = 4096;

/// Encoded bytes of a record in a chunk besides the record: its tag and length.
const FRAME_BYTES: usize = 8;

/// A list in progress.
#[derive(Debug)]
pub(crate) struct List {
    query: ListQuery,
    pin: Pin,
    /// Head of the snapshot, set by the first step.
    snapshot: Option<Head>,
    /// First key not sent yet.
    from: String,
    /// Revision up to which the overlay is complete.
    scanned: i64,
    overlay: BTreeMap<String, i64>,
    sent: u64,
}

/// Result of one step.
#[derive(Debug)]
pub(crate) struct Step {
    /// Head of the snapshot; the same in every step.
    pub(crate) snapshot: Head,
    pub(crate) records: Vec<Record>,
    /// Set by the last step: whether more keys exist beyond the limit.
    pub(crate) end: Option<bool>,
}

/// Keys from `List::from` up to `end`.
struct Bounds {
    resource: i64,
    end: Value,
    cluster_only: bool,
}

impl List {
    /// Creates a list. `pin` must pin all revisions until the snapshot is known.
    pub(crate) fn new(query: ListQuery, pin: Pin) -> Self {
        let range = &query.range;
        let first = match (&range.namespace, &range.name) {
            (Some(namespace), Some(name)) => path(namespace, name),
            (Some(namespace), None) if !namespace.is_empty() => format!("{namespace}/"),
            _ => String::new(),
        };
        // Names hold no zero byte: the key with one appended is the next possible key.
        let after = query.after.as_ref().map(|key| path_of(key) + "\0");
        let from = after.map_or(first.clone(), |after| after.max(first));
        Self {
            query,
            pin,
            snapshot: None,
            from,
            scanned: 0,
            overlay: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Reads the next chunk. Must run inside a read transaction.
    pub(crate) fn step(&mut self, connection: &Connection) -> Result<Step, Error> {
        let now = read_head(connection)?;
        let snapshot = self.snapshot(now)?;
        let range = &self.query.range;
        let resource = resource_id(connection, &range.group, &range.resource)?;
        let mut step = Step {
            snapshot,
            records: Vec::new(),
            end: None,
        };
        let Some(resource) = resource else {
            step.end = Some(false);
            return Ok(step);
        };
        let bounds = self.bounds(resource);
        if !self.follow(connection, &bounds, now.revision)? {
            return Ok(step);
        }
        step.end = self.read(connection, &bounds, snapshot.revision, &mut step.records)?;
        self.sent += step.records.len() as u64;
        Ok(step)
    }

    fn snapshot(&mut self, now: Head) -> Result<Head, Error> {
        if let Some(snapshot) = self.snapshot {
            return Ok(snapshot);
        }
        let at = now.readable(self.query.revision)?;
        self.pin.move_to(at);
        self.scanned = at;
        let snapshot = Head {
            revision: at,
            ..now
        };
        self.snapshot = Some(snapshot);
        Ok(snapshot)
    }

    fn bounds(&self, resource: i64) -> Bounds {
        let range = &self.query.range;
        // In SQLite a blob sorts after every text.
        let unbounded = Value::Blob(Vec::new());
        let end = match (&range.namespace, &range.name) {
            (Some(namespace), Some(name)) => Value::Text(path(namespace, name) + "\0"),
            // `0` is the byte after `/`.
            (Some(namespace), None) if !namespace.is_empty() => {
                Value::Text(format!("{namespace}0"))
            }
            _ => unbounded,
        };
        Bounds {
            resource,
            end,
            cluster_only: range.namespace.as_deref() == Some("") && range.name.is_none(),
        }
    }

    /// Adds changes after the snapshot to the overlay; returns `false` if more remain.
    fn follow(
        &mut self,
        connection: &Connection,
        bounds: &Bounds,
        now: i64,
    ) -> Result<bool, Error> {
        let at = self.snapshot.map_or(0, |snapshot| snapshot.revision);
        let to = now.min(self.scanned + OVERLAY_STEP);
        if to > self.scanned {
            let sql = "SELECT path, previous FROM log WHERE revision > ?1 AND revision <= ?2 \
                       AND resource = ?3 AND previous BETWEEN 1 AND ?4 \
                       AND path >= ?5 AND path < ?6";
            let mut statement = connection.prepare_cached(sql)?;
            let parameters: [&dyn ToSql; 6] = [
                &self.scanned,
                &to,
                &bounds.resource,
                &at,
                &self.from,
                &bounds.end,
            ];
            let mut rows = statement.query(parameters)?;
            while let Some(row) = rows.next()? {
                let path: String = row.get(0)?;
                if !(bounds.cluster_only && path.contains('/')) {
                    self.overlay.insert(path, row.get(1)?);
                }
            }
            self.scanned = to;
        }
        Ok(self.scanned == now)
    }

    /// Merges current rows and overlay in key order until the chunk is full, the limit is reached
    /// or the range ends. Returns the value of [`Step::end`].
    fn read(
        &mut self,
        connection: &Connection,
        bounds: &Bounds,
        at: i64,
        records: &mut Vec<Record>,
    ) -> Result<Option<bool>, Error> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            ", c.path, c.revision FROM current c LEFT JOIN log l ON l.revision = c.revision \
             WHERE c.resource = ?1 AND c.path >= ?2 AND c.path < ?3 AND c.revision <= ?4 \
             ORDER BY c.path"
        );
        let mut statement = connection.prepare_cached(sql)?;
        let from = self.from.clone();
        let parameters: [&dyn ToSql; 4] = [&bounds.resource, &from, &bounds.end, &at];
        let mut rows = statement.query(parameters)?;
        let mut chunk = Chunk::new(&self.query, self.sent, records);
        while let Some(row) = rows.next()? {
            let path = row.get_ref(10)?.as_str().map_err(rusqlite::Error::from)?;
            if bounds.cluster_only && path.contains('/') {
                continue;
            }
            if let Some(end) = chunk.overlay(connection, &mut self.overlay, Some(path))? {
                self.from = chunk.next(self.from.as_str());
                return Ok(end);
            }
            let range = &self.query.range;
            let key = key_of(&range.group, &range.resource, path);
            let entry = Entry::read_joined(row, 11, key)?;
            if let Some(end) = chunk.add(path, entry.record) {
                self.from = chunk.next(self.from.as_str());
                return Ok(end);
            }
        }
        let end = chunk.overlay(connection, &mut self.overlay, None)?;
        self.from = chunk.next(self.from.as_str());
        Ok(end.unwrap_or(Some(false)))
    }
}

/// Collects records in key order.
struct Chunk<'a> {
    group: &'a str,
    resource: &'a str,
    /// Records that the limit still allows; `None` if unlimited.
    room: Option<u64>,
    bytes: usize,
    last: Option<String>,
    records: &'a mut Vec<Record>,
}

impl<'a> Chunk<'a> {
    fn new(query: &'a ListQuery, sent: u64, records: &'a mut Vec<Record>) -> Self {
        Self {
            group: &query.range.group,
            resource: &query.range.resource,
            room: (query.limit > 0).then(|| query.limit.saturating_sub(sent)),
            bytes: 0,
            last: None,
            records,
        }
    }

    /// Adds a record. If it does not fit, returns the reason: `Some(None)` if the chunk is full,
    /// `Some(Some(true))` if the limit is reached.
    fn add(&mut self, path: &str, record: Record) -> Option<Option<bool>> {
        if self
            .room
            .is_some_and(|room| self.records.len() as u64 >= room)
        {
            return Some(Some(true));
        }
        // Count the encoded record: its index may be larger than its value.
        let size = record.encoded_len() + FRAME_BYTES;
        if !self.records.is_empty() && self.bytes + size > CHUNK_BYTES {
            return Some(None);
        }
        self.bytes += size;
        self.last = Some(path.to_owned());
        self.records.push(record);
        None
    }

    /// Adds the records of the overlay below `before`; returns as [`Chunk::add`].
    fn overlay(
        &mut self,
        connection: &Connection,
        overlay: &mut BTreeMap<String, i64>,
        before: Option<&str>,
    ) -> Result<Option<Option<bool>>, Error> {
        while let Some(first) = overlay.first_entry() {
            let path = first.key().as_str();
            if before.is_some_and(|before| path >= before) {
                break;
            }
            let key = key_of(self.group, self.resource, path);
            let revision = *first.get();
            let entry = read::entry(connection, key.clone(), revision)?.ok_or_else(|| {
                Error::CorruptValue {
                    key: sidecar::key::display(&key),
                    revision,
                }
            })?;
            let path = path.to_owned();
            if let Some(end) = self.add(&path, entry.record) {
                return Ok(Some(end));
            }
            first.remove();
        }
        Ok(None)
    }

    /// Returns the smallest key after the added ones.
    fn next(&self, from: &str) -> String {
        self.last
            .as_ref()
            .map_or_else(|| from.to_owned(), |last| format!("{last}\0"))
    }
}
