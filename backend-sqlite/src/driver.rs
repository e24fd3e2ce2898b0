//! Implementation of [`Driver`] on SQLite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_proto::v1::{BackendError, Header, Key, Limits, Op, Record};
use parking_lot::Mutex;
use sidecar::driver::{
    Committed, Description, Driver, DriverHealth, ImportOptions, ImportPart, ImportProgress,
    ListPart, ListQuery, LogPage,
};
use tokio::sync::mpsc;

use crate::checkpoint::Checkpointer;
use crate::compact;
use crate::connection::refuse;
use crate::error::Error;
use crate::list::List;
use crate::lock::Lock;
use crate::opening::{self, Commits};
use crate::options::Options;
use crate::read;
use crate::readers::Readers;
use crate::shared::Shared;
use crate::space::Space;
use crate::verify::Verifier;
use crate::write::VALUE_BYTES;
use crate::writer::{Store, Writer};

pub use crate::options::OnFatal;

/// A store in one SQLite file, used by one process at a time.
#[derive(Debug)]
pub struct SqliteDriver {
    shared: Arc<Shared>,
    writer: Writer,
    readers: Readers,
    checkpointer: Checkpointer,
    verifier: Verifier,
    /// For the orderly close.
    commits: Commits,
    lock: Mutex<Option<Lock>>,
    options: Options,
}

impl SqliteDriver {
    /// Opens the database, or creates it if the file is absent. `on_fatal` is called at most once
    /// per thread, when the process must exit because the state on disk is unknown.
    ///
    /// # Errors
    /// A message that names the file and the remedy; the file is unchanged in this case.
    pub fn open(options: &Options, on_fatal: OnFatal) -> Result<Self, Error> {
        let opening::Opened {
            options,
            lock,
            mut connection,
            shared,
            files,
            space,
            commits,
            unverified,
        } = opening::open(options)?;
        let checkpointer = Checkpointer::start(
            &mut connection,
            &options,
            shared.clone(),
            files.clone(),
            on_fatal.clone(),
        )?;
        let readers = Readers::start(&options)?;
        let verifier = if unverified {
            tracing::info!(
                "the database was not closed, or has changed since: verifying it in the background"
            );
            Verifier::start(&options, shared.clone())?
        } else {
            shared.set_verified();
            Verifier::default()
        };
        let store = Store {
            connection,
            shared: shared.clone(),
            files,
            space,
            commits: commits.clone(),
            clock: options.clock,
        };
        let writer = Writer::start(store, on_fatal)
            .map_err(|error| refuse(&options.path, error.to_string()))?;
        Ok(Self {
            shared,
            writer,
            readers,
            checkpointer,
            verifier,
            commits,
            lock: Mutex::new(Some(lock)),
            options,
        })
    }

    /// Whether no verification of the content is running. It runs in the background after an
    /// unclean stop; damage that it finds is in the log and in [`Driver::health`].
    pub fn is_verified(&self) -> bool {
        self.shared.is_verified()
    }

    async fn list_into(&self, query: ListQuery, sink: mpsc::Sender<ListPart>) -> Result<(), Error> {
        let mut list = List::new(query, self.shared.pins.pin(0));
        let mut started = false;
        loop {
            let (next, step) = self
                .readers
                .run(move |connection| {
                    let step = list.step(connection)?;
                    Ok((list, step))
                })
                .await?;
            list = next;
            if !started {
                started = true;
                let header = self.shared.read(step.snapshot);
                if sink.send(ListPart::Header(header)).await.is_err() {
                    return Ok(());
                }
            }
            if !step.records.is_empty() && sink.send(ListPart::Records(step.records)).await.is_err()
            {
                return Ok(());
            }
            if let Some(more) = step.end {
                // The caller may be gone already.
                let _ = sink.send(ListPart::End { more }).await;
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl Driver for SqliteDriver {
    fn describe(&self) -> Description {
        Description {
            name: "sqlite".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: Limits {
                value_bytes: VALUE_BYTES as i64,
                write_ops: 256,
                write_bytes: 48 << 20,
            },
            multi_writer: false,
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
        let key = key.clone();
        let (head, found) = self
            .readers
            .run(move |connection| read::get(connection, &key, revision))
            .await?;
        Ok((self.shared.read(head), found.map(|entry| entry.record)))
    }

    async fn resources(&self) -> Result<Vec<(String, String)>, BackendError> {
        Ok(self.readers.run(read::resources).await?)
    }

    async fn about_records(&self) -> Result<Option<u64>, BackendError> {
        Ok(Some(self.readers.run(read::count).await?))
    }

    async fn space(&self) -> Result<sidecar::driver::Space, BackendError> {
        let options = self.options.clone();
        // The file system may be slow to respond.
        let measured = tokio::task::spawn_blocking(move || Space::measure(&options)).await;
        Ok(measured.unwrap_or_default())
    }

    async fn list(
        &self,
        query: ListQuery,
        sink: mpsc::Sender<ListPart>,
    ) -> Result<(), BackendError> {
        Ok(self.list_into(query, sink).await?)
    }

    async fn read_log(&self, after: i64, max_bytes: usize) -> Result<LogPage, BackendError> {
        let page = self
            .readers
            .run(move |connection| read::log(connection, after, max_bytes))
            .await?;
        Ok(LogPage {
            events: page.events,
            up_to_revision: page.up_to_revision,
            header: self.shared.read(page.head),
        })
    }

    async fn header(&self) -> Result<Header, BackendError> {
        // No read is needed: only this process writes, and it publishes its head before it returns
        // a verdict, or the response of a read that found a newer head.
        Ok(self.shared.header(self.shared.head()))
    }

    async fn compact(&self, revision: i64) -> Result<Header, BackendError> {
        let header = self.writer.move_compact(revision).await?;
        while self.writer.sweep().await? {}
        Ok(header)
    }

    async fn retention_target(
        &self,
        keep: Duration,
        keep_events: u64,
    ) -> Result<Option<i64>, BackendError> {
        Ok(self
            .readers
            .run(move |connection| compact::target(connection, keep, keep_events))
            .await?)
    }

    async fn import(
        &self,
        options: ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, BackendError> {
        Ok(self.writer.import(options, parts).await?)
    }

    async fn import_progress(&self) -> Result<Option<ImportProgress>, BackendError> {
        Ok(self.shared.importing())
    }

    async fn fence(&self, reason: Option<String>) -> Result<Header, BackendError> {
        Ok(self.writer.fence(reason).await?)
    }

    async fn fenced(&self) -> Result<Option<String>, BackendError> {
        Ok(self.shared.fenced())
    }

    async fn health(&self) -> DriverHealth {
        self.shared.health()
    }

    async fn close(&self) {
        self.verifier.close();
        self.readers.close();
        self.writer.close();
        self.checkpointer.join();
        if let Some(lock) = self.lock.lock().take() {
            self.commits.close(&self.options);
            Space::reserve_for_start(&self.options);
            lock.release();
        }
    }
}
