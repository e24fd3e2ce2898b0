//! Implementation of [`Driver`] on PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use backend_proto::v1::{BackendError, Header, Key, Limits, Op, Record};
use backoff::Backoff;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use sidecar::driver::{
    Committed, Description, Driver, DriverHealth, ImportOptions, ImportPart, ImportProgress,
    ListPart, ListQuery, LogPage, Space,
};
use sidecar::head::RevisionError;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::compact;
use crate::connection::Connection;
use crate::error::Error;
use crate::host_watch;
use crate::import;
use crate::lineage::Lineage;
use crate::list;
use crate::migrate;
use crate::notifier;
use crate::options::Options;
use crate::pool::{Connector, Pool, read as reading};
use crate::read;
use crate::resources::Resources;
use crate::shared::Shared;
use crate::store::{self, StoreState};
use crate::write::VALUE_BYTES;
use crate::writer::Writer;

/// Connections for short reads, and for lists, imports and maintenance. With one writer and one
/// listener that makes seven, independent of the load.
const READERS: usize = 3;
const STREAMS: usize = 2;

/// Timeout of waiting for a free connection.
const WAIT: Duration = Duration::from_millis(1500);
const STREAM_WAIT: Duration = Duration::from_secs(10);

/// Backoff of connecting at start: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// A store in a PostgreSQL database, which other processes may use too.
pub struct PostgresDriver {
    shared: Arc<Shared>,
    resources: Arc<Resources>,
    writer: Writer,
    readers: Pool,
    streams: Pool,
    hints: Arc<Notify>,
    clock: fn() -> SystemTime,
    stop: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl PostgresDriver {
    /// Connects, migrates the schema if the role may, and begins a new epoch if the database may
    /// lack commits. Retries while the database is unreachable.
    ///
    /// # Errors
    /// A message that says what the database or the role lacks.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let options = Arc::new(options);
        let stop = CancellationToken::new();
        let (store_state, lineage) = reach(&options).await?;
        let shared = Arc::new(Shared::new(&store_state, lineage));
        let resources = Arc::new(Resources::default());
        let connector = Connector::new(options.clone(), shared.clone());
        let (committed, commits) = watch::channel(store_state.head.revision);
        let hints = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        if let Some(target) = options.notify.clone() {
            tasks.spawn(notifier::run(
                target,
                shared.clone(),
                hints.clone(),
                commits,
                stop.clone(),
            ));
        }
        for host in options.target.several() {
            tasks.spawn(host_watch::run(host, shared.clone(), stop.clone()));
        }
        Ok(Self {
            writer: Writer::new(
                connector.clone(),
                shared.clone(),
                resources.clone(),
                committed,
            ),
            readers: Pool::new(connector.clone(), READERS, WAIT)?,
            streams: Pool::new(connector, STREAMS, STREAM_WAIT)?,
            shared,
            resources,
            hints,
            clock: options.clock,
            stop,
            tasks: Mutex::new(tasks),
        })
    }
}

/// Rejects a state older than `floor` and makes the connection unusable: it may lead to an old
/// primary, where no epoch may begin. Reconnect and re-read the store row before starting an epoch.
fn accept_state(
    connection: &Connection,
    floor: &store::Floor,
    store_state: StoreState,
) -> Result<StoreState, Error> {
    if store_state.regressed(floor) {
        connection.poison();
        return Err(Error::Lost("the database went back".to_owned()));
    }
    Ok(store_state)
}

/// Reads the store for the first time.
async fn reach(options: &Options) -> Result<(StoreState, Lineage), Error> {
    let mut pauses = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
    let mut logged_reason = String::new();
    loop {
        let look = async {
            migrate::at_start(options).await?;
            let connection = Connection::open(&options.target, options.pooled, None).await?;
            migrate::check(&connection).await?;
            let floor = store::Floor::default();
            store::inspect(&connection, &floor, (options.clock)()).await
        };
        match look.await {
            Err(error) if error.is_outage() => {
                let reason = error.to_string();
                if reason != logged_reason {
                    tracing::warn!(%error, "waiting for the database");
                    logged_reason = reason;
                }
            }
            result => return result,
        }
        pauses.pause().await;
    }
}

#[async_trait]
impl Driver for PostgresDriver {
    fn describe(&self) -> Description {
        Description {
            name: "postgres".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: Limits {
                value_bytes: VALUE_BYTES as i64,
                write_ops: 256,
                write_bytes: 48 << 20,
            },
            multi_writer: true,
            moves: true,
        }
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<Committed, BackendError> {
        Ok(self.writer.commit(ops).await?)
    }

    async fn get(
        &self,
        key: &Key,
        revision: i64,
    ) -> Result<(Header, Option<Record>), BackendError> {
        let floor = self.shared.floor();
        let read = reading!(self, connection => {
            let (store_state, found) = read::get(connection, &self.resources, key, revision).await?;
            store_state.require_complete()?;
            Ok((accept_state(connection, &floor, store_state)?, found))
        });
        let (store_state, found) = read?;
        let record = found.map(|stored| stored.into_record(key.clone()));
        Ok((self.shared.note(&store_state), record))
    }

    async fn resources(&self) -> Result<Vec<(String, String)>, BackendError> {
        let all = reading!(self, connection => { Resources::all(connection).await });
        Ok(all?)
    }

    async fn about_records(&self) -> Result<Option<u64>, BackendError> {
        let count = reading!(self, connection => { read::count(connection).await });
        Ok(count?)
    }

    async fn space(&self) -> Result<Space, BackendError> {
        let used = reading!(self, connection => { read::used_bytes(connection).await });
        // Only the server knows its free space, and has no function that returns it.
        Ok(Space {
            used: Some(used?),
            free: None,
        })
    }

    async fn list(
        &self,
        query: ListQuery,
        sink: mpsc::Sender<ListPart>,
    ) -> Result<(), BackendError> {
        let (floor, started) = (self.shared.floor(), Instant::now());
        let connection = self.streams.get().await?;
        let check = |store_state: &StoreState| {
            store_state.require_complete()?;
            self.shared
                .note(&accept_state(&connection, &floor, store_state.clone())?);
            Ok(())
        };
        let listed = list::run(&connection, &self.resources, &query, &sink, check).await;
        Ok(self.shared.record(started, listed)?)
    }

    async fn read_log(&self, after: i64, max_bytes: usize) -> Result<LogPage, BackendError> {
        let mut floor = self.shared.floor();
        floor.revision = floor.revision.max(after);
        let read = reading!(self, connection => {
            let mut page = read::log(connection, after, max_bytes).await?;
            page.store_state.require_complete()?;
            page.store_state = accept_state(connection, &floor, page.store_state)?;
            Ok(page)
        });
        let page = read?;
        let header = self.shared.note(&page.store_state);
        let compact_revision = header.compact_revision;
        if after < compact_revision {
            return Err(RevisionError::Compacted { compact_revision }.into());
        }
        Ok(LogPage {
            events: page.events,
            up_to_revision: page.up_to_revision,
            header,
        })
    }

    async fn header(&self) -> Result<Header, BackendError> {
        let floor = self.shared.floor();
        let read = reading!(self, connection => {
            let store_state = store::read(connection).await?;
            accept_state(connection, &floor, store_state)
        });
        Ok(self.shared.note(&read?))
    }

    async fn compact(&self, revision: i64) -> Result<Header, BackendError> {
        let started = Instant::now();
        let connection = self.streams.get().await?;
        let moved = compact::move_to(&connection, revision).await;
        let store_state = self.shared.record(started, moved)?;
        compact::drop_partitions(&connection).await;
        Ok(self.shared.note(&store_state))
    }

    async fn retention_target(
        &self,
        keep: Duration,
        keep_events: u64,
    ) -> Result<Option<i64>, BackendError> {
        let started = Instant::now();
        let connection = self.streams.get().await?;
        let target = compact::target(&connection, keep, keep_events).await;
        Ok(self.shared.record(started, target)?)
    }

    async fn import(
        &self,
        options: ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, BackendError> {
        let started = Instant::now();
        let connection = self.streams.get().await?;
        let resources = &self.resources;
        let now = (self.clock)();
        let imported = import::run(&connection, resources, &self.readers, &options, parts, now);
        let imported = self.shared.record(started, imported.boxed().await);
        Ok(self.shared.note(&imported?))
    }

    async fn import_progress(&self) -> Result<Option<ImportProgress>, BackendError> {
        let progress = reading!(self, connection => { import::progress(connection).await });
        Ok(progress?)
    }

    async fn fence(&self, reason: Option<String>) -> Result<Header, BackendError> {
        Ok(self.writer.fence(reason.as_deref()).await?)
    }

    async fn fenced(&self) -> Result<Option<String>, BackendError> {
        Ok(self.shared.fenced())
    }

    async fn changed(&self) {
        self.hints.notified().await;
    }

    async fn health(&self) -> DriverHealth {
        self.shared.health()
    }

    async fn close(&self) {
        self.stop.cancel();
        self.writer.close().await;
        self.readers.close();
        self.streams.close();
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        while tasks.join_next().await.is_some() {}
    }
}
