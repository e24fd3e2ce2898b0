//! Lists in key order, all chunks from one snapshot.
//!
//! State at revision r is the objects with a revision ≤ r and, for every key that changed after r,
//! the value replaced by its first later change. The second part, the *overlay*, is empty unless a
//! past revision is requested.

mod overlay;

use std::time::Duration;

use backend_proto::limits::CHUNK_BYTES;
use backend_proto::v1::{Key, Range, Record};
use prost::Message as _;
use sidecar::driver::{ListPart, ListQuery};
use sidecar::key::{self, key_of, path_of};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};

use self::overlay::Overlay;
use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
use crate::read::stored;
use crate::resources::Resources;
use crate::shared::header;
use crate::store::{self, StoreState};

/// Maximum duration of a list: its snapshot prevents vacuum from removing dead rows.
const MAX_DURATION: Duration = Duration::from_secs(600);

/// Rows per statement, estimated from the previous chunk so that one statement fills one chunk.
const FIRST_ROWS: i64 = 128;
const MOST_ROWS: i64 = 4096;

/// Encoded bytes of a record in a chunk besides the record: its tag and length.
const FRAME_BYTES: usize = 8;

/// Estimated bytes of a row besides its value.
const ROW_BYTES: i64 = 512;

/// Sorts after every key.
const LAST: &str = "\u{10ffff}";
/// Suffix that gives the next possible key: names hold no byte below the space.
const NEXT: &str = "\u{1}";

static OBJECTS: Statement = Statement {
    text: "SELECT revision, create_revision, created_at, time, sum, idx, value, path, \
             before + size + $8 >= $7 AS full \
           FROM (SELECT t.*, sum(t.size::bigint + $8) OVER (ORDER BY t.path) - t.size - $8 AS before \
             FROM (SELECT * FROM ark.object WHERE resource = $1 AND path >= $2 \
               AND path < $3 AND revision <= $4 \
               AND (NOT $5 OR strpos(path, '/') = 0) ORDER BY path LIMIT $6) t) u \
           WHERE before < $7 ORDER BY path",
    types: &[
        Type::INT4,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::BOOL,
        Type::INT8,
        Type::INT8,
        Type::INT8,
    ],
};

/// Keys of a range.
struct Bounds {
    resource: i32,
    /// First key not read yet.
    from: String,
    /// Exclusive upper bound, used by the index scan.
    end: String,
    cluster_only: bool,
}

/// A list in progress.
struct List<'a> {
    connection: &'a Connection,
    query: &'a ListQuery,
    at: i64,
    bounds: Bounds,
    overlay: Overlay,
    out: Packer<'a>,
}

/// Packs records into chunks and sends them.
struct Packer<'a> {
    sink: &'a mpsc::Sender<ListPart>,
    chunk: Vec<Record>,
    bytes: usize,
    sent: u64,
    limit: u64,
}

/// Result of a step.
enum Step {
    /// More records remain.
    Continues,
    /// Everything was sent; `more` if keys exist beyond the limit.
    Ended { more: bool },
    /// The client disconnected.
    Left,
}

/// Streams a range into `sink`; calls `note` with the state of the snapshot.
pub(crate) async fn run(
    connection: &Connection,
    resources: &Resources,
    query: &ListQuery,
    sink: &mpsc::Sender<ListPart>,
    check: impl Fn(&StoreState) -> Result<(), Error>,
) -> Result<(), Error> {
    let range = &query.range;
    if query.revision == 0 {
        connection.begin_snapshot().await?;
    } else {
        connection.begin_history_snapshot().await?;
    }
    let mut store_state = store::read(connection).await?;
    check(&store_state)?;
    // Read inside the snapshot. A cached lookup could miss a resource that is new in it, and return
    // an empty list.
    let id = resources
        .find(connection, &range.group, &range.resource)
        .await?;
    let now = store_state.head.revision;
    let at = store_state.head.readable(query.revision);
    let at = match at {
        Ok(at) => at,
        Err(error) => {
            connection.commit(READ_TIMEOUT).await?;
            return Err(error.into());
        }
    };
    store_state.head.revision = at;
    if sink
        .send(ListPart::Header(header(&store_state)))
        .await
        .is_err()
    {
        return Ok(());
    }
    let Some(bounds) = id.and_then(|id| Bounds::new(id, range, query.after.as_ref())) else {
        connection.commit(READ_TIMEOUT).await?;
        // The client may be gone already.
        let _ = sink.send(ListPart::End { more: false }).await;
        return Ok(());
    };
    let overlay = if at < now {
        Overlay::new(at, query.limit, &bounds.from)
    } else {
        Overlay::empty()
    };
    let mut list = List {
        connection,
        query,
        at,
        bounds,
        overlay,
        out: Packer::new(sink, query.limit),
    };
    list.stream().await?;
    connection.commit(READ_TIMEOUT).await
}

impl Bounds {
    /// Returns `None` if the range is always empty.
    fn new(resource: i32, range: &Range, after: Option<&Key>) -> Option<Self> {
        let (first, end) = match (&range.namespace, &range.name) {
            (Some(namespace), Some(name)) => {
                let path = key::path(namespace, name);
                (path.clone(), path + NEXT)
            }
            // `0` is the byte after `/`.
            (Some(namespace), None) if !namespace.is_empty() => {
                (format!("{namespace}/"), format!("{namespace}0"))
            }
            _ => (String::new(), LAST.to_owned()),
        };
        let after = after.map(|key| path_of(key) + NEXT);
        let from = after.map_or(first.clone(), |after| after.max(first));
        let possible = !from.contains('\0') && !end.contains('\0');
        possible.then(|| Self {
            resource,
            from,
            end,
            cluster_only: range.namespace.as_deref() == Some("") && range.name.is_none(),
        })
    }
}

impl List<'_> {
    async fn stream(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + MAX_DURATION;
        let mut rows = FIRST_ROWS;
        loop {
            match self.step(&mut rows).await? {
                Step::Continues if Instant::now() < deadline => {}
                Step::Continues => return Err(Error::Overloaded),
                Step::Left => return Ok(()),
                Step::Ended { more } => {
                    self.out.end(more).await;
                    return Ok(());
                }
            }
        }
    }

    /// Reads some objects, and the records of the overlay before and between them.
    async fn step(&mut self, most: &mut i64) -> Result<Step, Error> {
        let bounds = &self.bounds;
        let chunk = i64::try_from(CHUNK_BYTES).unwrap_or(i64::MAX);
        let parameters: [&(dyn ToSql + Sync); 8] = [
            &bounds.resource,
            &bounds.from,
            &bounds.end,
            &self.at,
            &bounds.cluster_only,
            &*most,
            &chunk,
            &ROW_BYTES,
        ];
        let rows = self
            .connection
            .query(&OBJECTS, &parameters, READ_TIMEOUT * 4);
        let rows = rows.await?;
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let full = rows.last().is_some_and(|row| row.get("full"));
        let last = count < *most && !full;
        *most = if full {
            count + count / 8 + 1
        } else {
            (*most * 2).min(MOST_ROWS)
        };
        for row in &rows {
            let path: String = row.get("path");
            if let Some(step) = self.overlay(Some(&path)).await? {
                return Ok(step);
            }
            let Some(found) = stored(row, 0) else {
                continue;
            };
            let record = found.into_record(self.key(&path));
            if let Some(step) = self.out.add(record).await {
                return Ok(step);
            }
            self.bounds.from = path + NEXT;
        }
        if !last {
            return Ok(Step::Continues);
        }
        let ended = self.overlay(None).await?;
        Ok(ended.unwrap_or(Step::Ended { more: false }))
    }

    /// Sends the records of the overlay before `path`, or all.
    async fn overlay(&mut self, path: Option<&str>) -> Result<Option<Step>, Error> {
        let Self {
            connection,
            overlay,
            bounds,
            ..
        } = self;
        while let Some((key, found)) = overlay.next(connection, bounds, path).await? {
            let range = &self.query.range;
            let key = key_of(&range.group, &range.resource, &key);
            if let Some(step) = self.out.add(found.into_record(key)).await {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    fn key(&self, path: &str) -> Key {
        let range = &self.query.range;
        key_of(&range.group, &range.resource, path)
    }
}

impl<'a> Packer<'a> {
    fn new(sink: &'a mpsc::Sender<ListPart>, limit: u64) -> Self {
        Self {
            sink,
            chunk: Vec::new(),
            bytes: 0,
            sent: 0,
            limit,
        }
    }

    /// Adds a record; returns a step if the list ends here.
    async fn add(&mut self, record: Record) -> Option<Step> {
        if self.limit > 0 && self.sent == self.limit {
            return Some(Step::Ended { more: true });
        }
        let size = record.encoded_len() + FRAME_BYTES;
        if self.bytes + size > CHUNK_BYTES && !self.flush().await {
            return Some(Step::Left);
        }
        self.bytes += size;
        self.sent += 1;
        self.chunk.push(record);
        None
    }

    /// Returns `false` if the client disconnected.
    async fn flush(&mut self) -> bool {
        self.bytes = 0;
        let chunk = std::mem::take(&mut self.chunk);
        chunk.is_empty() || self.sink.send(ListPart::Records(chunk)).await.is_ok()
    }

    async fn end(&mut self, more: bool) {
        if self.flush().await {
            // The client may be gone already.
            let _ = self.sink.send(ListPart::End { more }).await;
        }
    }
}
