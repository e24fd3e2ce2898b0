//! One connection: its statements, its deadlines, and whether it can be used again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::poll_fn;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::error::Severity;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row, Socket};

use crate::connect::connect;
use crate::error::{Error, describe};
use crate::options::Target;

/// Longest wait for the answer to a read that clients wait for.
pub(crate) const ANSWER: Duration = Duration::from_secs(2);

/// How long the server waits for locks, works on one statement, and suffers an open transaction in
/// which nothing happens. The first is below what our callers wait for, so that a write that was not
/// made is known not to have been made.
const TIMEOUTS: [(&str, &str); 3] = [
    ("lock_timeout", "2500ms"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// Overrides the last of them for a snapshot, whose reader may be as slow as the kit allows: it cuts
/// one that takes nothing for 60 s.
const PATIENT: &str = "SET LOCAL idle_in_transaction_session_timeout = '75s'";

/// Every statement of ours is meant to walk an index, whatever the statistics say of a table that
/// was empty a minute ago; and is planned once.
const PLANNER: [(&str, &str); 7] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    ("work_mem", "64MB"),
];

/// A commit that is told must be durable; what is stronger than `on` stays.
const SYNCHRONOUS: &str = "SELECT set_config('synchronous_commit', 'on', LOCAL) \
     WHERE current_setting('synchronous_commit') = 'off'";

/// What begins a transaction that reads.
const SNAPSHOT: &str = "REPEATABLE READ READ ONLY";

/// Dropping a partition takes the strongest lock of the log itself.
const KEEP_LOG: &str = "LOCK TABLE ONLY ark.log IN ACCESS SHARE MODE;";

/// A statement and the types of its parameters.
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
    /// Nothing outlives a transaction: no settings, no prepared statements.
    pooled: bool,
    /// Not to be used again: an answer may be under way, or a transaction open.
    spoiled: AtomicBool,
    /// The store's epoch when the server was looked at; 0 before.
    epoch: i64,
    /// The server took back a promise, see [`Connection::take_warning`].
    warned: Arc<AtomicBool>,
    _driving: JoinSet<()>,
}

impl Connection {
    /// Connects; `hints` is told of each notification.
    pub(crate) async fn open(
        target: &Target,
        pooled: bool,
        hints: Option<Arc<Notify>>,
    ) -> Result<Self, Error> {
        let (client, driver) = connect(target).await?;
        let warned = Arc::new(AtomicBool::new(false));
        let mut driving = JoinSet::new();
        driving.spawn(drive(driver, hints, warned.clone()));
        let connection = Self {
            client,
            prepared: Mutex::default(),
            pooled,
            spoiled: AtomicBool::new(false),
            epoch: 0,
            warned,
            _driving: driving,
        };
        if !pooled {
            let text = limits("SET") + &SYNCHRONOUS.replace("LOCAL", "false");
            connection.simple(&text, ANSWER).await?;
        }
        Ok(connection)
    }

    /// Whether it may be handed out again.
    pub(crate) fn is_usable(&self) -> bool {
        !self.spoiled.load(Ordering::Relaxed) && !self.client.is_closed()
    }

    /// Notes the epoch that the store was in when the server was looked at.
    pub(crate) fn looked_at(self, epoch: i64) -> Self {
        Self { epoch, ..self }
    }

    /// The epoch that [`Connection::looked_at`] noted. A connection from before the epoch began may
    /// lead to a server that went on without it: an old primary.
    pub(crate) const fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether the server said, since this was asked last, that a commit is durable in fewer places
    /// than it is configured to be.
    pub(crate) fn take_warning(&self) -> bool {
        self.warned.swap(false, Ordering::Relaxed)
    }

    /// What begins a transaction that writes. One that is dropped before [`Connection::commit`]
    /// takes the connection with it.
    pub(crate) fn begin_text(&self) -> String {
        self.begin_as("READ COMMITTED READ WRITE", "")
    }

    /// What commits. The server's limit on a statement must not cut short its wait for standbys.
    pub(crate) const COMMIT: &'static str = "SET LOCAL statement_timeout = 0; COMMIT";

    /// `first` comes before whatever takes a snapshot, but within the limits on waiting.
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

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<(), Error> {
        self.spoil();
        self.simple(&self.begin_text(), ANSWER).await
    }

    /// Begins a transaction all of whose statements see the same state.
    pub(crate) async fn begin_snapshot(&self) -> Result<(), Error> {
        self.spoil();
        let text = self.begin_as(SNAPSHOT, "") + PATIENT;
        self.simple(&text, ANSWER).await
    }

    /// Begins a transaction all of whose statements see the same state, and the log behind it. Which
    /// partitions there are is no part of a snapshot: one that is dropped is missing at once, so
    /// nobody may drop any from before the snapshot is taken until the transaction ends.
    pub(crate) async fn begin_past(&self) -> Result<(), Error> {
        self.spoil();
        let text = self.begin_as(SNAPSHOT, KEEP_LOG) + PATIENT;
        self.simple(&text, ANSWER * 2).await
    }

    /// Commits what [`Connection::begin`] and its like began.
    pub(crate) async fn commit(&self, limit: Duration) -> Result<(), Error> {
        self.take_warning();
        self.simple(Self::COMMIT, limit).await?;
        self.heal();
        self.kept_everywhere()
    }

    /// After a commit: refuses to call it done if it is durable in fewer places than the server is
    /// configured for. It is kept here, and another try waits again.
    pub(crate) fn kept_everywhere(&self) -> Result<(), Error> {
        if self.take_warning() {
            let message = "a commit did not reach the standbys";
            return Err(Error::Lost(message.to_owned()));
        }
        Ok(())
    }

    /// Until told otherwise the connection is not to be used again.
    pub(crate) fn spoil(&self) {
        self.spoiled.store(true, Ordering::Relaxed);
    }

    /// Takes [`Connection::spoil`] back.
    pub(crate) fn heal(&self) {
        self.spoiled.store(false, Ordering::Relaxed);
    }

    /// Statements without parameters or answers.
    pub(crate) async fn simple(&self, text: &str, limit: Duration) -> Result<(), Error> {
        self.within(limit, self.client.batch_execute(text)).await
    }

    /// The connection itself, for what is sent without waiting in between.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Makes sure that the statements need no round trip of their own when they are sent.
    pub(crate) async fn prepare(&self, statements: &[&'static Statement]) -> Result<(), Error> {
        for statement in statements {
            if !self.pooled {
                self.prepared(statement).await?;
            }
        }
        Ok(())
    }

    /// Rows of a statement; for use with others in one go, after [`Connection::prepare`].
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

    /// Rows of a statement.
    pub(crate) async fn query(
        &self,
        statement: &'static Statement,
        parameters: Parameters<'_>,
        limit: Duration,
    ) -> Result<Vec<Row>, Error> {
        self.prepare(&[statement]).await?;
        self.within(limit, self.send(statement, parameters)).await
    }

    /// The one row of a statement.
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

    /// Bounds the wait for an answer. Without one the connection is of no more use.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(limit, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.spoil();
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
        let prepared = self.within(ANSWER, preparing).await?;
        self.prepared.lock().insert(statement.text, prepared);
        Ok(())
    }
}

fn limits(verb: &str) -> String {
    let mut text = String::new();
    for (name, value) in TIMEOUTS.iter().chain(&PLANNER) {
        text.push_str(&format!("{verb} {name} = '{value}';"));
    }
    text
}

/// Moves messages until the connection ends.
async fn drive<S>(
    mut connection: tokio_postgres::Connection<Socket, S>,
    hints: Option<Arc<Notify>>,
    warned: Arc<AtomicBool>,
) where
    S: tokio_postgres::tls::TlsStream + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                // Its text is in the language of the server.
                let serious = notice.parsed_severity() == Some(Severity::Warning);
                if serious {
                    warned.store(true, Ordering::Relaxed);
                    tracing::warn!(code = notice.code().code(), "{}", notice.message());
                }
            }
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
