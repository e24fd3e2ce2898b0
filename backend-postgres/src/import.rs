//! Imports into an empty store, in one call or in several.
//!
//! Each call is one transaction that holds the lock on the row of `store`. Until the last call the
//! row says that an import is unfinished, and all reads and writes are rejected.

mod events;

use std::time::{Duration, SystemTime};

use backend_proto::v1::{Header, Key, Record};
use prost::Message as _;
use sidecar::driver::{ImportOptions, ImportPart, ImportProgress};
use sidecar::head::Head;
use sidecar::key::path_of;
use sidecar::time::nanos;
use tokio::sync::mpsc;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
use crate::pool::Pool;
use crate::record::digest;
use crate::resources::Resources;
use crate::store::{self, LOCK, StoreState, newest};

/// Timeout of storing one part, and of receiving one.
const PART_TIMEOUT: Duration = Duration::from_secs(60);

/// Overrides the session's timeouts, because a part may be large and its sender slow.
const LONG_TIMEOUTS: &str = "SET LOCAL statement_timeout = '60s'; \
                       SET LOCAL idle_in_transaction_session_timeout = '120s'";

static PROGRESS: Statement = Statement {
    text: concat!(
        "SELECT import_source, import_last, import_revision, import_records FROM ",
        newest!()
    ),
    types: &[],
};

static EMPTY: Statement = Statement {
    text: "SELECT NOT EXISTS (SELECT FROM ark.object)",
    types: &[],
};

static KEEP: Statement = Statement {
    text: "UPDATE ark.store SET import_source = $1, import_last = $2, import_revision = $3, \
           import_records = $4 WHERE revision = $5 RETURNING true",
    types: &[Type::BYTEA, Type::BYTEA, Type::INT8, Type::INT8, Type::INT8],
};

static FINISH: Statement = Statement {
    text: "UPDATE ark.store SET store_id = $1, epoch = $2, revision = $3, compact_revision = $4, \
           import_source = NULL, import_last = NULL, import_revision = 0, import_records = 0 \
           WHERE revision = $5 RETURNING true",
    types: &[Type::TEXT, Type::INT8, Type::INT8, Type::INT8, Type::INT8],
};

const COPY: &str = "COPY ark.object (resource, path, revision, create_revision, created_at, time, \
                    size, sum, uid, idx, value) FROM STDIN BINARY";

const COPY_TYPES: &[Type] = &[
    Type::INT4,
    Type::TEXT,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT4,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
];

/// Transaction of one call.
struct Import<'a> {
    connection: &'a Connection,
    resources: &'a Resources,
    /// Connections for assigning ids of new resources, which are committed independently of the
    /// import.
    others: &'a Pool,
    progress: ImportProgress,
    /// Whether records must be in key order.
    ordered: bool,
}

/// Reads the progress of an unfinished import.
pub(crate) async fn progress(connection: &Connection) -> Result<Option<ImportProgress>, Error> {
    let row = connection.query_one(&PROGRESS, &[], READ_TIMEOUT).await?;
    let Some(source) = row.get::<_, Option<&[u8]>>(0) else {
        return Ok(None);
    };
    let last: Option<&[u8]> = row.get(1);
    let damaged = |_| Error::Corrupt("the state of the import is damaged: discard it".to_owned());
    Ok(Some(ImportProgress {
        source: Header::decode(source).map_err(damaged)?,
        last: last.map(Key::decode).transpose().map_err(damaged)?,
        revision: row.get(2),
        records: row.get(3),
    }))
}

/// Stores the parts of one call. After an error, or if the channel closes before `Done`, nothing of
/// the call is stored.
pub(crate) async fn run(
    connection: &Connection,
    resources: &Resources,
    others: &Pool,
    options: &ImportOptions,
    mut parts: mpsc::Receiver<ImportPart>,
    now: SystemTime,
) -> Result<StoreState, Error> {
    connection.begin().await?;
    connection.simple(LONG_TIMEOUTS, READ_TIMEOUT).await?;
    if options.discard {
        let discard = "SELECT ark.discard_import()";
        connection.simple(discard, PART_TIMEOUT).await?;
    }
    let store_state = StoreState::read(&connection.query_one(&LOCK, &[], READ_TIMEOUT * 2).await?);
    let progress = start(connection, &store_state, options).await?;
    let mut import = Import {
        connection,
        resources,
        others,
        ordered: options.more || progress.last.is_some(),
        progress,
    };
    loop {
        let part = tokio::time::timeout(PART_TIMEOUT, parts.recv()).await;
        match part.map_err(|_| invalid("the import's sender fell silent"))? {
            Some(ImportPart::Records(records)) => import.records(&records).await?,
            Some(ImportPart::Events(events)) => import.events(&events).await?,
            Some(ImportPart::Done) => break,
            None => return Err(invalid("the import ended before it was complete")),
        }
    }
    if options.more {
        import.keep(store_state.head).await?;
    } else {
        import.finish(options, store_state.head, now).await?;
    }
    let store_state = store::read(connection).await?;
    connection.commit(PART_TIMEOUT).await?;
    Ok(store_state)
}

/// Checks that the store may accept this call, and returns where it continues.
async fn start(
    connection: &Connection,
    store_state: &StoreState,
    options: &ImportOptions,
) -> Result<ImportProgress, Error> {
    let source = &options.source;
    if let Some(progress) = progress(connection).await? {
        return if identity(&progress.source) == identity(source) {
            Ok(progress)
        } else {
            Err(invalid(
                "another import is unfinished: carry on with it, or discard it",
            ))
        };
    }
    let empty: bool = connection
        .query_one(&EMPTY, &[], READ_TIMEOUT)
        .await?
        .get(0);
    if !empty || !store_state.head.has_just_begun() {
        return Err(invalid("import needs an empty store"));
    }
    if let Some(reason) = &store_state.fenced {
        return Err(Error::Fenced(reason.clone()));
    }
    Ok(ImportProgress {
        source: source.clone(),
        last: None,
        revision: source.revision,
        records: 0,
    })
}

impl Import<'_> {
    async fn records(&mut self, records: &[Record]) -> Result<(), Error> {
        if self.progress.revision != self.progress.source.revision {
            return Err(invalid("records after events"));
        }
        let mut ids = Vec::with_capacity(records.len());
        for record in records {
            let key = self.check(record)?;
            ids.push(self.id(&key).await?);
            self.progress.last = Some(key);
        }
        let copying = self.connection.client().copy_in(COPY);
        let sink = self.connection.within(PART_TIMEOUT, copying).await?;
        let writer = BinaryCopyInWriter::new(sink, COPY_TYPES);
        let mut writer = std::pin::pin!(writer);
        for (record, id) in records.iter().zip(ids) {
            let row = Row::new(record, id);
            let columns = row.columns();
            let written = writer.as_mut().write(&columns);
            self.connection.within(PART_TIMEOUT, written).await?;
        }
        self.connection
            .within(PART_TIMEOUT, writer.finish())
            .await?;
        self.progress.records += records.len() as i64;
        Ok(())
    }

    /// Returns the record's key, if the record may come next.
    fn check(&self, record: &Record) -> Result<Key, Error> {
        let key = record.key.clone();
        let key = key.ok_or_else(|| invalid("a record has no key"))?;
        if record.revision < 1 || record.revision > self.progress.source.revision {
            return Err(invalid("a record is newer than its snapshot"));
        }
        // The next call continues after the last key; a single call may have any order.
        let last = self.progress.last.as_ref().filter(|_| self.ordered);
        if last.is_some_and(|last| order(last) >= order(&key)) {
            return Err(invalid("records out of order"));
        }
        Ok(key)
    }

    async fn id(&self, key: &Key) -> Result<i32, Error> {
        let known = self
            .resources
            .known(self.connection, &key.group, &key.resource);
        if let Some(id) = known {
            return Ok(id);
        }
        let other = self.others.get().await?;
        self.resources.id(&other, key).await
    }

    /// Stores the progress.
    async fn keep(&self, before: Head) -> Result<(), Error> {
        let progress = &self.progress;
        let source = progress.source.encode_to_vec();
        let last = progress.last.as_ref().map(prost::Message::encode_to_vec);
        let parameters: [&(dyn ToSql + Sync); 5] = [
            &source,
            &last,
            &progress.revision,
            &progress.records,
            &before.revision,
        ];
        self.connection
            .query_one(&KEEP, &parameters, READ_TIMEOUT)
            .await?;
        Ok(())
    }

    /// Completes the import: sets the identity and numbers of the store.
    async fn finish(
        &self,
        options: &ImportOptions,
        before: Head,
        now: SystemTime,
    ) -> Result<(), Error> {
        let source = &self.progress.source;
        let head = if options.keep_epoch {
            Head {
                epoch: source.epoch,
                revision: self.progress.revision,
                compact_revision: source.revision,
            }
        } else {
            let imported = Head {
                epoch: source.epoch,
                revision: self.progress.revision,
                compact_revision: source.revision,
            };
            Head::begin(imported.max_of(before), now)?
        };
        let parameters: [&(dyn ToSql + Sync); 5] = [
            &source.store_id,
            &head.epoch,
            &head.revision,
            &head.compact_revision,
            &before.revision,
        ];
        self.connection
            .query_one(&FINISH, &parameters, READ_TIMEOUT)
            .await?;
        Ok(())
    }
}

/// Identifies an exported snapshot.
fn identity(source: &Header) -> (&str, i64, i64) {
    (&source.store_id, source.epoch, source.revision)
}

/// A record as a row of `object`.
struct Row<'a> {
    resource: i32,
    path: String,
    revision: i64,
    create_revision: i64,
    created_at: i64,
    time: i64,
    size: i32,
    sum: Vec<u8>,
    uid: &'a [u8],
    index: Option<Vec<u8>>,
    value: &'a [u8],
}

impl<'a> Row<'a> {
    fn new(record: &'a Record, resource: i32) -> Self {
        let key = record.key.as_ref();
        let index = record.index.as_ref();
        Self {
            resource,
            path: key.map(path_of).unwrap_or_default(),
            revision: record.revision,
            create_revision: record.create_revision,
            created_at: nanos(record.created_at.as_ref()),
            time: nanos(record.updated_at.as_ref()),
            size: i32::try_from(record.value.len()).unwrap_or(i32::MAX),
            sum: digest(&record.value).as_ref().to_vec(),
            uid: index.map_or(b"", |index| index.uid.as_bytes()),
            index: index.map(prost::Message::encode_to_vec),
            value: &record.value,
        }
    }

    fn columns(&self) -> [&(dyn ToSql + Sync); 11] {
        [
            &self.resource,
            &self.path,
            &self.revision,
            &self.create_revision,
            &self.created_at,
            &self.time,
            &self.size,
            &self.sum,
            &self.uid,
            &self.index,
            &self.value,
        ]
    }
}

/// Sort key of key order.
fn order(key: &Key) -> (&str, &str, String) {
    (&key.group, &key.resource, path_of(key))
}

fn invalid(message: &str) -> Error {
    Error::Invalid(message.to_owned())
}
