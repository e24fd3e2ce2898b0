//! A connection: its statements, deadlines, and whether it is reusable.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::poll_fn;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row, Socket};

use crate::connect::{Opened, Wanted, connect};
use crate::error::{Error, describe};
use crate::lineage::Lineage;
use crate::options::Target;
use crate::warnings::Warnings;

/// Timeout of a read that a client waits for.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Server-side timeouts: waiting for locks, running one statement, and idling in a transaction. The
/// lock timeout is below the client-side timeouts, so that a write that could not get its lock
/// fails with a definite outcome.
const TIMEOUTS: [(&str, &str); 3] = [
    ("lock_timeout", "2500ms"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// Overrides the idle timeout for a snapshot. Its reader may be as slow as the kit allows: the kit
/// cuts off readers after 60 s.
const LONG_IDLE_TIMEOUT: &str = "SET LOCAL idle_in_transaction_session_timeout = '75s'";

/// Forces index scans and generic plans. Statistics of a table that was empty a minute ago would
/// otherwise lead to sequential scans.
const PLANNER: [(&str, &str); 7] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    ("work_mem", "64MB"),
];

/// Settings of the role or the database that would change the meaning of statements, or suppress
/// the warning that a commit did not reach the standbys.
const MEANING: [(&str, &str); 2] = [
    ("client_min_messages", "warning"),
    ("standard_conforming_strings", "on"),
];

/// Commits must be durable before they are acknowledged, also on synchronous standbys. The only
/// other sufficient value is kept: it is stronger.
const SYNCHRONOUS: &str = "SELECT set_config('synchronous_commit', 'on', LOCAL) \
     WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')";

/// Transaction mode of reads.
const SNAPSHOT: &str = "REPEATABLE READ READ ONLY";

/// Prevents dropping partitions, which takes the strongest lock of the parent table.
const KEEP_LOG: &str = "LOCK TABLE ONLY ark.log IN ACCESS SHARE MODE;";

/// A statement with its parameter types.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) text: &'static str,
    pub(crate) types: &'static [Type],
}

/// Parameters of a statement.
pub(crate) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection to the database; closed when dropped.
pub(crate) struct Connection {
    client: Client,
    prepared: Mutex<HashMap<&'static str, tokio_postgres::Statement>>,
    /// Behind a transaction pooler: settings and prepared statements do not outlive a transaction.
    pooled: bool,
    /// Not reusable: a response may be outstanding, or a transaction open.
    poisoned: AtomicBool,
    /// Epoch of the store, and the server's lineage, when it was inspected.
    inspected: Option<(i64, Lineage)>,
    warnings: Arc<Warnings>,
    _driving: JoinSet<()>,
}

impl Connection {
    /// Connects; notifications of the server are forwarded to `hints`.
    pub(crate) async fn open(
        target: &Target,
        pooled: bool,
        hints: Option<Arc<Notify>>,
    ) -> Result<Self, Error> {
        let opened = Box::pin(connect(target, Wanted::Primary)).await?;
        let connection = Self::new(opened, pooled, hints);
        if !pooled {
            let text = limits("SET") + &SYNCHRONOUS.replace("LOCAL", "false");
            connection.simple(&text, READ_TIMEOUT).await?;
        }
        Ok(connection)
    }

    /// Connects to a server in any role, without settings.
    pub(crate) async fn observe(target: &Target) -> Result<Self, Error> {
        let opened = Box::pin(connect(target, Wanted::Any)).await?;
        Ok(Self::new(opened, true, None))
    }

    fn new((client, driver): Opened, pooled: bool, hints: Option<Arc<Notify>>) -> Self {
        let warnings = Arc::new(Warnings::default());
        let mut driving = JoinSet::new();
        driving.spawn(drive(driver, hints, warnings.clone()));
        Self {
            client,
            prepared: Mutex::default(),
            pooled,
            poisoned: AtomicBool::new(false),
            inspected: None,
            warnings,
            _driving: driving,
        }
    }

    /// Whether the connection may be reused.
    pub(crate) fn is_usable(&self) -> bool {
        !self.poisoned.load(Ordering::Relaxed) && !self.client.is_closed()
    }

    /// Records the epoch of the store and the lineage of the server when it was inspected.
    pub(crate) fn with_inspection(self, epoch: i64, lineage: Lineage) -> Self {
        Self {
            inspected: Some((epoch, lineage)),
            ..self
        }
    }

    /// Returns what [`Connection::with_inspection`] recorded. A connection with an earlier epoch or
    /// timeline may lead to an old primary.
    pub(crate) const fn inspected(&self) -> Option<&(i64, Lineage)> {
        self.inspected.as_ref()
    }

    /// Returns the epoch of the store when the server was inspected; 0 before.
    pub(crate) fn epoch(&self) -> i64 {
        self.inspected.as_ref().map_or(0, |(epoch, _)| *epoch)
    }

    /// Whether the server reported, since the last call, that a commit is durable on fewer servers
    /// than configured.
    pub(crate) fn take_missed_standby(&self) -> bool {
        self.warnings.take_missed_standby()
    }

    /// Returns the statements that begin a write transaction. Dropping the transaction before
    /// [`Connection::commit`] makes the connection unusable.
    pub(crate) fn begin_text(&self) -> String {
        self.begin_as("READ COMMITTED READ WRITE", "")
    }

    /// Commits. Disables the statement timeout, which would cut short the wait for synchronous
    /// standbys.
    pub(crate) const COMMIT: &'static str = "SET LOCAL statement_timeout = 0; COMMIT";

    /// Runs `first` after the timeouts are set, but before any statement that takes the snapshot.
    fn begin_as(&self, kind: &str, first: &str) -> String {
        let mut text = format!("BEGIN ISOLATION LEVEL {kind};");
        if self.pooled {
            text.push_str(&limits("SET LOCAL"));
        }
        text.push_str(first);
        if self.pooled {
            text.push_str(&SYNCHRONOUS.replace("LOCAL", "true"));
            text.push(';');
        }
        text
    }

    /// Begins a write transaction.
    pub(crate) async fn begin(&self) -> Result<(), Error> {
        self.poison();
        self.simple(&self.begin_text(), READ_TIMEOUT).await
    }

    /// Begins a transaction whose statements all read the same snapshot.
    pub(crate) async fn begin_snapshot(&self) -> Result<(), Error> {
        self.poison();
        let text = self.begin_as(SNAPSHOT, "") + LONG_IDLE_TIMEOUT;
        self.simple(&text, READ_TIMEOUT).await
    }

    /// Begins a transaction whose statements all read the same snapshot, including history in the
    /// log. Dropping a partition takes effect in existing snapshots too, so the log is locked
    /// against it from before the snapshot until the transaction ends.
    pub(crate) async fn begin_history_snapshot(&self) -> Result<(), Error> {
        self.poison();
        let text = self.begin_as(SNAPSHOT, KEEP_LOG) + LONG_IDLE_TIMEOUT;
        self.simple(&text, READ_TIMEOUT * 2).await
    }

    /// Commits a transaction begun by [`Connection::begin`] or its variants.
    pub(crate) async fn commit(&self, limit: Duration) -> Result<(), Error> {
        self.take_missed_standby();
        self.simple(Self::COMMIT, limit).await?;
        self.clear_poison();
        self.check_durability()
    }

    /// Called after a commit: returns an error if it is durable on fewer servers than configured.
    /// The commit is stored here, and a retry waits for the standbys again.
    pub(crate) fn check_durability(&self) -> Result<(), Error> {
        if self.take_missed_standby() {
            let message = "a commit did not reach the standbys";
            return Err(Error::Lost(message.to_owned()));
        }
        Ok(())
    }

    /// Marks the connection as not reusable, until [`Connection::clear_poison`].
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
    }

    /// Reverts [`Connection::poison`].
    pub(crate) fn clear_poison(&self) {
        self.poisoned.store(false, Ordering::Relaxed);
    }

    /// Runs statements without parameters or rows.
    pub(crate) async fn simple(&self, text: &str, limit: Duration) -> Result<(), Error> {
        self.within(limit, self.client.batch_execute(text)).await
    }

    /// Returns the client, for pipelined statements.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Prepares statements, so that sending them later needs no extra round trip.
    pub(crate) async fn prepare(&self, statements: &[&'static Statement]) -> Result<(), Error> {
        for statement in statements {
            if !self.pooled {
                self.prepared(statement).await?;
            }
        }
        Ok(())
    }

    /// Runs a prepared statement; for pipelining, after [`Connection::prepare`].
    pub(crate) async fn send(
        &self,
        statement: &'static Statement,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let known = self.prepared.lock().get(statement.text).cloned();
        match known {
            Some(prepared) => self.client.query(&prepared, parameters).await,
            None => {
                let types = statement.types.iter().cloned();
                let typed: Vec<_> = parameters.iter().copied().zip(types).collect();
                self.client.query_typed(statement.text, &typed).await
            }
        }
    }

    /// Runs a statement and returns its rows.
    pub(crate) async fn query(
        &self,
        statement: &'static Statement,
        parameters: Parameters<'_>,
        limit: Duration,
    ) -> Result<Vec<Row>, Error> {
        self.prepare(&[statement]).await?;
        self.within(limit, self.send(statement, parameters)).await
    }

    /// Runs a statement and returns its only row.
    pub(crate) async fn query_one(
        &self,
        statement: &'static Statement,
        parameters: Parameters<'_>,
        limit: Duration,
    ) -> Result<Row, Error> {
        let rows = self.query(statement, parameters, limit).await?;
        let missing =
            || Error::Refused("the table ark.store is empty: restore a backup".to_owned());
        rows.into_iter().next().ok_or_else(missing)
    }

    /// Applies a timeout to a response. After a timeout the connection is not reusable.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(limit, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let error = Error::from(error);
                if error.is_permanent() {
                    // Once an operator has repaired the database, it must be inspected again.
                    self.poison();
                }
                Err(error)
            }
            Err(_) => {
                self.poison();
                let seconds = limit.as_secs_f64();
                Err(Error::Lost(format!("no answer within {seconds} s")))
            }
        }
    }

    async fn prepared(&self, statement: &'static Statement) -> Result<(), Error> {
        if self.prepared.lock().contains_key(statement.text) {
            return Ok(());
        }
        let preparing = self.client.prepare_typed(statement.text, statement.types);
        let prepared = self.within(READ_TIMEOUT, preparing).await?;
        self.prepared.lock().insert(statement.text, prepared);
        Ok(())
    }
}

fn limits(verb: &str) -> String {
    let mut text = String::new();
    for (name, value) in TIMEOUTS.iter().chain(&MEANING).chain(&PLANNER) {
        text.push_str(&format!("{verb} {name} = '{value}';"));
    }
    text
}

/// Moves messages until the connection ends.
async fn drive<S>(
    mut connection: tokio_postgres::Connection<Socket, S>,
    hints: Option<Arc<Notify>>,
    warnings: Arc<Warnings>,
) where
    S: tokio_postgres::tls::TlsStream + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => warnings.receive(&notice),
            Ok(AsyncMessage::Notification(_)) => {
                if let Some(hints) = &hints {
                    hints.notify_one();
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = describe(&error), "connection ended");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
