//! Commits batches: pipelined in one round trip, and sent again if the response is lost.
//!
//! The outcome of a commit without a response is determined by sending the batch again: each
//! operation has an op_id, and an operation that was applied returns its first verdict. The lock on
//! the row of `store` also covers the case that the first attempt is still on its way to the
//! server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backend_proto::v1::{Header, Op};
use backoff::Backoff;
use futures_util::future::join4;
use sidecar::driver::Committed;
use sidecar::time::now;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use tokio_postgres::types::Type;

use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
use crate::pool::Connector;
use crate::resources::Resources;
use crate::shared::{MAX_DETECTION_LATENCY, Shared};
use crate::store::{LOCK, StoreState};
use crate::write::{APPLY, Batch};

/// Retry budget of a batch, after which callers get the error that the database is unreachable.
/// During an outage it counts from the last response of the database, but allows at least one
/// attempt.
const RETRY_BUDGET: Duration = Duration::from_secs(3);
/// Timeout of connecting for a batch that begins after the retry budget is spent.
const LAST_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
const _: () = assert!(
    RETRY_BUDGET.as_millis() + LAST_ATTEMPT_TIMEOUT.as_millis() < MAX_DETECTION_LATENCY.as_millis()
);
/// Timeout of one attempt, which may wait for synchronous standbys.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of the first response in an attempt, which does not wait for standbys.
const FIRST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time after which a hanging attempt looks for another primary.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Interval at which a pending attempt checks whether other calls get responses.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Backoff between attempts: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(250);
/// Revisions by which the log is extended beyond the need of a batch.
const MARGIN: i64 = 64;

static EXTEND: Statement = Statement {
    text: "SELECT ark.extend_log($1, $2, $3)",
    types: &[Type::INT8, Type::INT8, Type::INT8],
};

static FENCE: Statement = Statement {
    text: "UPDATE ark.store SET fenced = $1 WHERE revision = $2 RETURNING true",
    types: &[Type::TEXT, Type::INT8],
};

/// The only writing connection.
pub(crate) struct Writer {
    connector: Connector,
    shared: Arc<Shared>,
    resources: Arc<Resources>,
    /// Revisions for notifications to other sidecars.
    committed_revisions: watch::Sender<i64>,
    connection: Mutex<Option<Connection>>,
}

/// Reason why an attempt did not commit.
enum Failed {
    /// Nothing was stored. A retry may succeed.
    Before(Error),
    /// It may have been stored.
    Within(Error),
    /// It may still be stored: this attempt hangs while other calls get responses.
    Hangs(String),
    /// The server has been deposed; what it stored may be lost.
    Deposed,
    /// The log has no partition for these revisions.
    LogFull { first: i64, last: i64 },
    /// The storage revision regressed.
    Regressed,
    /// A retry would fail the same way.
    Final(Error),
}

impl Writer {
    pub(crate) fn new(
        connector: Connector,
        shared: Arc<Shared>,
        resources: Arc<Resources>,
        committed_revisions: watch::Sender<i64>,
    ) -> Self {
        Self {
            connector,
            shared,
            resources,
            committed_revisions,
            connection: Mutex::new(None),
        }
    }

    /// Applies a batch.
    pub(crate) async fn commit(&self, ops: Vec<Op>) -> Result<Committed, Error> {
        let mut slot = self.connection.lock().await;
        let mut batch = Batch::new(ops);
        let mut deadline =
            self.shared.unreachable_since().unwrap_or_else(Instant::now) + RETRY_BUDGET;
        let mut connected_by = deadline.max(Instant::now() + LAST_ATTEMPT_TIMEOUT);
        let mut pauses = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        let (mut uncertain, mut full) = (false, false);
        loop {
            let started = Instant::now();
            let (error, again) = match self.attempt(&mut slot, &mut batch, connected_by).await {
                Ok((store_state, rows)) => {
                    self.shared.note_room(!full);
                    return self.committed(&store_state, batch, &rows);
                }
                Err(Failed::LogFull { first, last }) => {
                    let extended = self.extend(&mut slot, first, last).await;
                    // Other writers may use up the extension first, so this retries, within the
                    // budget.
                    let timed_out = Instant::now() > deadline;
                    (
                        extended.err().or(timed_out.then_some(Error::Overloaded)),
                        true,
                    )
                }
                Err(Failed::Regressed) => {
                    // Reconnecting inspects the store, and begins an epoch if necessary.
                    let back = "the database went back".to_owned();
                    (Some(Error::Lost(back)), true)
                }
                Err(Failed::Deposed) => {
                    // The new primary determines the outcome, and this cannot repeat: its timeline
                    // is later.
                    uncertain = true;
                    deadline = deadline.max(Instant::now() + RETRY_BUDGET);
                    connected_by = deadline;
                    (
                        Some(Error::Lost("the primary was deposed".to_owned())),
                        true,
                    )
                }
                // Retry the deletes, which need less space, without the other writes.
                Err(Failed::Final(Error::NoSpace)) if !uncertain && batch.keep_deletes() => {
                    full = true;
                    (None, true)
                }
                // It has waited for the lock as long as it may.
                Err(Failed::Before(error)) => {
                    let again = !matches!(error, Error::Overloaded);
                    (Some(error), again)
                }
                Err(Failed::Within(error)) => {
                    uncertain = true;
                    (Some(error), true)
                }
                Err(Failed::Final(error)) => (Some(error), false),
                Err(Failed::Hangs(message)) => {
                    // Other calls get responses, so this is not an outage for readers and watchers.
                    *slot = None;
                    return Err(Error::OutcomeUnknown(message));
                }
            };
            let Some(error) = error else { continue };
            *slot = None;
            let recorded = self.shared.record::<()>(started, Err(error)).err();
            let error = recorded.unwrap_or(Error::Overloaded);
            let pause = pauses.next_pause();
            let timed_out = Instant::now() + pause > deadline;
            if timed_out || !again {
                return Err(given_up(error, uncertain));
            }
            sleep(pause).await;
        }
    }

    /// Fences the store or lifts the fence; the revision in the response is the last until it is
    /// lifted.
    pub(crate) async fn fence(&self, reason: Option<&str>) -> Result<Header, Error> {
        let mut slot = self.connection.lock().await;
        let started = Instant::now();
        let result = async {
            // Put back when done. If the caller is gone before, dropping it closes it, which
            // releases its lock.
            let connection = self.take(&mut slot).await?;
            connection.begin().await?;
            let mut store_state =
                StoreState::read(&connection.query_one(&LOCK, &[], READ_TIMEOUT).await?);
            let base = store_state.head.revision;
            connection
                .query_one(&FENCE, &[&reason, &base], READ_TIMEOUT)
                .await?;
            connection.commit(ATTEMPT_TIMEOUT).await?;
            store_state.fenced = reason.map(ToOwned::to_owned);
            *slot = Some(connection);
            Ok(store_state)
        };
        let store_state = self.shared.record(started, result.await)?;
        Ok(self.shared.note(&store_state))
    }

    /// Closes the connection.
    pub(crate) async fn close(&self) {
        *self.connection.lock().await = None;
    }

    async fn connected<'a>(
        &self,
        slot: &'a mut Option<Connection>,
    ) -> Result<&'a Connection, Error> {
        let connection = self.take(slot).await?;
        Ok(slot.insert(connection))
    }

    /// Takes the connection of the slot, or opens a new one if that is not usable.
    async fn take(&self, slot: &mut Option<Connection>) -> Result<Connection, Error> {
        match slot.take().filter(|it| self.connector.is_good(it)) {
            Some(connection) => Ok(connection),
            None => self.connector.connect().await,
        }
    }

    /// Sends lock, batch and commit in one pipeline.
    async fn attempt(
        &self,
        slot: &mut Option<Connection>,
        batch: &mut Batch,
        connected_by: Instant,
    ) -> Result<(StoreState, Vec<tokio_postgres::Row>), Failed> {
        let connecting = tokio::time::timeout_at(connected_by.into(), self.connected(slot));
        let timed_out = |_| Err(Error::Unreachable("no connection in time".to_owned()));
        let connection = connecting.await.unwrap_or_else(timed_out).map_err(unsent)?;
        let floor = self.shared.floor();
        let mut ids = Vec::with_capacity(batch.rows.len());
        for key in batch.keys() {
            let id = self.resources.id(connection, key).await;
            ids.push(id.map_err(unsent)?);
        }
        batch.fill(ids);
        connection.prepare(&[&LOCK, &APPLY]).await.map_err(unsent)?;
        connection.take_missed_standby();
        connection.poison();
        let (begin, parameters) = (connection.begin_text(), batch.parameters());
        let alive = AtomicBool::new(false);
        let sent = join4(
            async {
                let started = connection.client().batch_execute(&begin).await;
                alive.store(true, Ordering::Relaxed);
                started
            },
            connection.send(&LOCK, &[]),
            connection.send(&APPLY, &parameters),
            connection.client().batch_execute(Connection::COMMIT),
        );
        let progressing = self.while_progressing(sent, &alive, connection);
        let (started, locked, applied, committed) = progressing.await?;
        let locked = started.and(locked).map_err(|error| refused(error.into()))?;
        let store_state = match locked.first() {
            Some(row) => StoreState::read(row),
            None => {
                let empty = "the table ark.store is empty".to_owned();
                return Err(Failed::Final(Error::Refused(empty)));
            }
        };
        let applied = match applied.map_err(Error::from) {
            // SQLSTATE check_violation: no partition of the log accepts the revision.
            Err(Error::Storage { code, .. }) if code == "23514" => {
                let first = store_state.head.revision + 1;
                let last = first + batch.rows.len() as i64;
                return Err(Failed::LogFull { first, last });
            }
            applied => applied.map_err(refused)?,
        };
        // After an error above, this COMMIT was a rollback.
        committed.map_err(|error| Failed::Within(error.into()))?;
        connection.clear_poison();
        // A retry finds the commit by its op_ids.
        connection.check_durability().map_err(Failed::Within)?;
        if store_state.regressed(&floor) || self.shared.floor().epoch > floor.epoch {
            // The commit is on an old primary, or in an epoch that has ended: it does not count.
            let message = "a commit was overtaken by a new epoch".to_owned();
            return Err(Failed::Within(Error::Lost(message)));
        }
        if applied.len() != batch.rows.len() {
            return Err(unwritable(&store_state));
        }
        Ok((store_state, applied))
    }

    /// Waits for an attempt while progress is possible: its first response came, and reads succeed,
    /// so it may be waiting for a standby or a slow disk.
    async fn while_progressing<T>(
        &self,
        sent: impl Future<Output = T>,
        alive: &AtomicBool,
        connection: &Connection,
    ) -> Result<T, Failed> {
        tokio::pin!(sent);
        let started = Instant::now();
        // It may wait for a standby that follows another primary by now.
        let look = async {
            sleep(LOOK_AFTER).await;
            // Without a response, this look is no evidence, and others follow from the poll.
            let _ = self.connector.look().await;
            std::future::pending::<()>().await;
        };
        tokio::pin!(look);
        loop {
            tokio::select! {
                done = &mut sent => return Ok(done),
                () = &mut look => {}
                () = sleep(POLL_INTERVAL) => {}
            }
            let lineage = connection.inspected().map(|(_, lineage)| lineage);
            if lineage.is_some_and(|lineage| self.shared.is_deposed(lineage)) {
                return Err(Failed::Deposed);
            }
            let waited = started.elapsed();
            let unheard = waited >= FIRST_RESPONSE_TIMEOUT && !alive.load(Ordering::Relaxed);
            let silent = self.shared.unreachable_since();
            let silent = silent.is_some_and(|since| since.elapsed() >= READ_TIMEOUT);
            let message = || format!("a commit had no answer in {:.1} s", waited.as_secs_f64());
            if unheard || silent {
                return Err(Failed::Within(Error::Lost(message())));
            }
            if waited >= ATTEMPT_TIMEOUT {
                return Err(Failed::Hangs(message()));
            }
        }
    }

    /// After a commit: publishes the state and notifies other sidecars.
    fn committed(
        &self,
        store_state: &StoreState,
        batch: Batch,
        rows: &[tokio_postgres::Row],
    ) -> Result<Committed, Error> {
        let verdicts = batch.into_verdicts(rows, store_state.fenced.as_deref())?;
        let mut header = self.shared.note(store_state);
        if let Some(last) = verdicts.events.last() {
            header.revision = last.revision;
            let mut store_state = store_state.clone();
            store_state.head.revision = header.revision;
            self.shared.note(&store_state);
            self.committed_revisions.send_replace(header.revision);
        }
        Ok(Committed {
            header,
            results: verdicts.results,
            events: verdicts.events,
        })
    }

    async fn extend(
        &self,
        slot: &mut Option<Connection>,
        first: i64,
        last: i64,
    ) -> Result<(), Error> {
        let connection = self.connected(slot).await?;
        extend_log(connection, first, last + MARGIN).await
    }
}

/// Extends the log by partitions for revisions.
pub(crate) async fn extend_log(
    connection: &Connection,
    first: i64,
    last: i64,
) -> Result<(), Error> {
    let now = now();
    let row = connection
        .query_one(&EXTEND, &[&first, &last, &now], READ_TIMEOUT * 2)
        .await?;
    let end: i64 = row.get(0);
    tracing::debug!(first, end, "added a partition to the log");
    Ok(())
}

/// Maps the state of a store that is not writable.
fn unwritable(store_state: &StoreState) -> Failed {
    if store_state.importing {
        Failed::Final(Error::Importing)
    } else {
        Failed::Regressed
    }
}

/// Maps the error of the last attempt; after an uncertain one, the outcome stays unknown.
fn given_up(error: Error, uncertain: bool) -> Error {
    match error {
        error if uncertain => Error::OutcomeUnknown(error.to_string()),
        Error::Lost(message) => Error::Unreachable(message),
        error => error,
    }
}

/// Maps an error before anything was sent.
fn unsent(error: Error) -> Failed {
    if error.is_outage() || matches!(error, Error::Overloaded) {
        Failed::Before(error)
    } else {
        Failed::Final(error)
    }
}

/// Maps an error of a statement before the commit.
fn refused(error: Error) -> Failed {
    match error {
        // The commit was pipelined behind it and may still run.
        Error::Lost(_) => Failed::Within(error),
        Error::Unreachable(_) | Error::Overloaded => Failed::Before(error),
        error => Failed::Final(error),
    }
}
