//! The writer thread.

mod maintenance;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{Header, Op, OpResult};
use parking_lot::Mutex;
use rusqlite::Connection;
use sidecar::driver::{Committed, DriverHealth, ImportOptions, ImportPart};
use sidecar::head::Head;
use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::{self, Copied};
use crate::compact;
use crate::connection;
use crate::error::Error;
use crate::files::OpenFiles;
use crate::import::{self, Filled};
use crate::opening::Commits;
use crate::options::OnFatal;
use crate::shared::Shared;
use crate::space::Space;
use crate::transaction::{self, Stamping};
use crate::write::{Batch, ResourceIds};
use sidecar::time::now;

/// Maximum queued commands. The kit sends one batch at a time, so more than a few indicate a bug.
const QUEUE: usize = 64;

/// Idle time before maintenance runs.
const IDLE: Duration = Duration::from_secs(1);

/// As [`IDLE`] while creates and updates are rejected: maintenance may free the space that clients
/// need.
const IDLE_FULL: Duration = Duration::from_millis(250);

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Commands for the thread.
enum Command {
    Commit(Vec<Op>, Reply<Committed>),
    MoveCompact(i64, Reply<Header>),
    Sweep(Reply<bool>),
    Import(ImportOptions, mpsc::Receiver<ImportPart>, Reply<Header>),
    Fence(Option<String>, Reply<Header>),
}

/// Sends commands to the thread.
#[derive(Debug)]
pub(crate) struct Writer {
    /// `None` once closed.
    queue: Mutex<Option<SyncSender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// An open store, which the thread owns.
pub(crate) struct Store {
    pub(crate) connection: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) space: Space,
    pub(crate) commits: Commits,
    /// Clock for the numbers of epochs.
    pub(crate) clock: fn() -> SystemTime,
}

/// State of the thread.
struct Worker {
    connection: Connection,
    shared: Arc<Shared>,
    files: Arc<OpenFiles>,
    commits: Commits,
    /// Reason why writes ended: the outcome of an earlier commit is unknown.
    lost: Option<String>,
    resources: ResourceIds,
    space: Space,
    clock: fn() -> SystemTime,
    maintained_at: Instant,
    /// Whether pages were returned since the file last shrank, and when it did.
    vacuumed: bool,
    shrunk_at: Instant,
    on_fatal: OnFatal,
}

// === impl Writer ===

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(store: Store, on_fatal: OnFatal) -> std::io::Result<Self> {
        let (queue, commands) = sync_channel(QUEUE);
        let worker = Worker {
            connection: store.connection,
            shared: store.shared,
            files: store.files,
            commits: store.commits,
            lost: None,
            resources: ResourceIds::default(),
            space: store.space,
            clock: store.clock,
            maintained_at: Instant::now(),
            vacuumed: false,
            shrunk_at: Instant::now(),
            on_fatal,
        };
        let thread = std::thread::Builder::new()
            .name("sqlite-write".to_owned())
            .spawn(move || worker.run(&commands))?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Applies a batch in one transaction; returns after the flush.
    pub(crate) async fn commit(&self, ops: Vec<Op>) -> Result<Committed, Error> {
        self.ask(|reply| Command::Commit(ops, reply)).await
    }

    /// Advances the compact revision.
    pub(crate) async fn move_compact(&self, revision: i64) -> Result<Header, Error> {
        self.ask(|reply| Command::MoveCompact(revision, reply))
            .await
    }

    /// Deletes some compacted rows; returns whether more remain.
    pub(crate) async fn sweep(&self) -> Result<bool, Error> {
        self.ask(Command::Sweep).await
    }

    /// Imports into the empty store.
    pub(crate) async fn import(
        &self,
        options: ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, Error> {
        self.ask(|reply| Command::Import(options, parts, reply))
            .await
    }

    /// Fences the store after the queued writes, with a reason, or lifts the fence.
    pub(crate) async fn fence(&self, reason: Option<String>) -> Result<Header, Error> {
        self.ask(|reply| Command::Fence(reason, reply)).await
    }

    /// Finishes the queued commands and closes the connection.
    pub(crate) fn close(&self) {
        drop(self.queue.lock().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the writing thread panicked");
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, responded) = oneshot::channel();
        let sent = match self.queue.lock().as_ref() {
            Some(queue) => queue
                .try_send(command(reply))
                .map_err(|rejected| match rejected {
                    TrySendError::Full(_) => Error::Overloaded,
                    TrySendError::Disconnected(_) => Error::Closed,
                }),
            None => Err(Error::Closed),
        };
        sent?;
        responded.await.map_err(|_| Error::Closed)?
    }
}

// === impl Worker ===

impl Worker {
    fn run(mut self, commands: &Receiver<Command>) {
        match self.space.begin(&self.connection) {
            Ok(true) => self.report_space(),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "cannot determine the free space"),
        }
        loop {
            let idle = if self.space.is_full() {
                IDLE_FULL
            } else {
                IDLE
            };
            let command = match commands.recv_timeout(idle) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let idle_now = command.is_none();
            if let Some(fatal) = command.and_then(|command| self.serve(command)) {
                self.exit_process(&fatal);
                return;
            }
            // Maintenance must run even if clients write without pause: it gives back space.
            if self.maintained_at.elapsed() < idle {
                continue;
            }
            self.commits.flush();
            match self.run_maintenance(idle_now) {
                Err(error) if error.is_fatal() => {
                    self.exit_process(&error.to_string());
                    return;
                }
                // Logged when they were detected.
                Ok(()) | Err(Error::FileLost(_)) => {}
                Err(error) if error.is_locked() => {}
                Err(error) => tracing::warn!(%error, "maintenance failed"),
            }
            self.maintained_at = Instant::now();
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "cannot close the database");
        }
    }

    /// Runs one command; returns a message if the process must exit.
    fn serve(&mut self, command: Command) -> Option<String> {
        match command {
            Command::Commit(ops, reply) => respond(reply, self.commit(&ops)),
            Command::MoveCompact(revision, reply) => respond(reply, self.move_compact(revision)),
            Command::Sweep(reply) => respond(reply, self.sweep()),
            Command::Import(options, parts, reply) => respond(reply, self.import(&options, parts)),
            Command::Fence(reason, reply) => respond(reply, self.fence(reason)),
        }
    }

    fn commit(&mut self, ops: &[Op]) -> Result<Committed, Error> {
        let bytes: usize = ops.iter().map(|op| op.value.len()).sum();
        self.space.expect_bytes(bytes as u64);
        self.probe();
        self.shared.check_complete()?;
        if self.space.log_is_long() {
            checkpoint::truncate_log(&self.connection)?;
        }
        match self.shared.fenced() {
            Some(reason) => self.replay_fenced(ops, reason),
            None => self.with_room(|worker| worker.try_commit(ops)),
        }
    }

    /// Serves writes of a fenced store: returns the verdicts of operations that were already
    /// applied. The rejection `NOT_APPLIED` would be wrong for these.
    fn replay_fenced(&mut self, ops: &[Op], reason: String) -> Result<Committed, Error> {
        let head = self.shared.head();
        let mut batch = Batch {
            connection: &self.connection,
            resources: &mut self.resources,
            full: false,
            revision: head.revision,
            now: now(),
            events: Vec::new(),
        };
        let remembered = ops.iter().map(|op| batch.remembered(op));
        let remembered = remembered.collect::<Result<Vec<_>, _>>()?;
        let fenced = Error::Fenced(reason);
        if remembered.iter().all(Option::is_none) {
            return Err(fenced);
        }
        let rejected = Verdict::Refused(fenced.into());
        let results = remembered.into_iter().map(|verdict| OpResult {
            verdict: verdict.or_else(|| Some(rejected.clone())),
        });
        Ok(Committed {
            header: self.shared.header(head),
            results: results.collect(),
            events: Vec::new(),
        })
    }

    /// Fences the store or lifts the fence; every earlier command is finished.
    fn fence(&mut self, reason: Option<String>) -> Result<Header, Error> {
        self.shared.check_complete()?;
        self.with_room(|worker| {
            worker.transaction(|connection| {
                connection.execute("UPDATE store SET fenced = ?1", [&reason])?;
                Ok(())
            })
        })?;
        self.shared.set_fenced(reason);
        Ok(self.shared.header(self.shared.head()))
    }

    /// Runs an operation that needs little space. On a full disk it retries with ever more space:
    /// first the reusable space of the log, then without creates and updates, then the reserve, in
    /// steps.
    fn with_room<T>(&mut self, work: impl Fn(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let mut result = work(self);
        for attempt in 0.. {
            match &result {
                Err(error) if error.is_full() => {}
                _ => break,
            }
            match attempt {
                0 => self.copy_log(|connection| {
                    checkpoint::restart_log(connection, checkpoint::FULL_WAIT)
                })?,
                1 if !self.space.is_full() => {
                    self.space.enter();
                    self.report_space();
                }
                _ if self.space.release(&self.connection)? => {}
                _ => break,
            }
            result = work(self);
        }
        result
    }

    /// Copies the log into the database. If the database must grow for it, uses the reserve, which
    /// is restored when the log is empty.
    fn copy_log(
        &mut self,
        copy: impl Fn(&Connection) -> Result<Copied, Error>,
    ) -> Result<(), Error> {
        while copy(&self.connection)? == Copied::Full
            && self.space.covers_log(&self.connection)?
            && self.space.release(&self.connection)?
        {}
        Ok(())
    }

    fn try_commit(&mut self, ops: &[Op]) -> Result<Committed, Error> {
        let head = self.shared.head();
        let full = self.space.is_full();
        let mut resources = std::mem::take(&mut self.resources);
        let applied = self.stamped(Stamping::Changed, |connection| {
            let mut batch = Batch {
                connection,
                resources: &mut resources,
                full,
                revision: head.revision,
                now: now(),
                events: Vec::new(),
            };
            let results = ops
                .iter()
                .map(|op| batch.apply(op))
                .collect::<Result<Vec<_>, _>>()?;
            batch.finish()?;
            Ok((results, batch.revision, batch.events))
        });
        if applied.is_ok() {
            self.resources = resources;
        }
        let (results, revision, events) = applied?;
        let head = Head { revision, ..head };
        self.shared.publish(head);
        self.record();
        Ok(Committed {
            header: self.shared.header(head),
            results,
            events,
        })
    }

    fn move_compact(&mut self, revision: i64) -> Result<Header, Error> {
        self.shared.check_complete()?;
        let head = self.shared.head();
        let head = self.with_room(|worker| {
            worker.transaction(|connection| compact::move_to(connection, revision, head))
        })?;
        self.shared.publish(head);
        Ok(self.shared.header(head))
    }

    fn sweep(&mut self) -> Result<bool, Error> {
        let barrier = self.shared.pins.lowest();
        self.with_room(|worker| {
            worker.transaction(|connection| compact::sweep(connection, barrier))
        })
    }

    fn import(
        &mut self,
        options: &ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, Error> {
        if let Some(reason) = self.shared.fenced() {
            return Err(Error::Fenced(reason));
        }
        let before = self.shared.head();
        let now = (self.clock)();
        let filled = self.stamped(Stamping::Changed, |connection| {
            import::fill(connection, before, options, parts, now)
        })?;
        let head = match filled {
            Filled::Staged(progress) => {
                self.shared.set_importing(Some(progress));
                // Calls of an import follow each other closely, and no other client is served
                // meanwhile.
                checkpoint::restart_log(&self.connection, checkpoint::IMPORT_WAIT)?;
                before
            }
            Filled::Whole(head) => {
                self.shared.adopt(options.source.store_id.clone(), head);
                self.shared.set_importing(None);
                head
            }
        };
        self.record();
        Ok(self.shared.header(head))
    }

    fn transaction<T>(
        &mut self,
        body: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = self.stamped(Stamping::Changed, body)?;
        self.record();
        Ok(done)
    }

    /// Records the newest commit and revision. Call before the response is sent.
    fn record(&self) {
        self.commits.record(self.shared.head().revision);
    }

    fn stamped<T>(
        &mut self,
        stamping: Stamping,
        body: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(sentence) = &self.lost {
            return Err(Error::FileLost(sentence.clone()));
        }
        self.shared.check_files(&self.files)?;
        let run = transaction::run(&self.connection, &mut self.commits.stamp, stamping, body);
        self.note_lock(run.as_ref().err())?;
        let done = run?;
        if let Err(Error::FileLost(sentence)) = self.shared.check_files(&self.files) {
            // The change is in a file that the next start will not open, and watchers must not get
            // it.
            self.shared.set_health(DriverHealth::Dead(sentence.clone()));
            self.lost = Some(sentence.clone());
            return Err(Error::FileLostMeanwhile(sentence));
        }
        Ok(done)
    }

    /// Publishes whether another program keeps the database locked. While it does, further writes
    /// fail at once: the queue must not wait longer than a gateway does.
    fn note_lock(&self, error: Option<&Error>) -> Result<(), Error> {
        let locked = error.filter(|error| error.is_locked());
        if locked.is_some() != self.shared.is_locked() {
            let timeout = match locked {
                Some(_) => connection::LOCKED_TIMEOUT,
                None => connection::LOCK_TIMEOUT,
            };
            self.connection.busy_timeout(timeout)?;
        }
        self.shared.set_locked(locked.map(ToString::to_string));
        Ok(())
    }

    /// Logs the reason, lets the last responses leave, and ends the process.
    fn exit_process(self, sentence: &str) {
        self.shared
            .set_health(DriverHealth::Dead(sentence.to_owned()));
        tracing::error!("{sentence}");
        std::thread::sleep(Duration::from_millis(200));
        (self.on_fatal)(sentence);
    }
}

/// Sends the result to the caller, who may be gone; returns a message if the process must exit.
fn respond<T>(reply: Reply<T>, result: Result<T, Error>) -> Option<String> {
    let failed = result.as_ref().err().filter(|error| error.is_fatal());
    let sentence = failed.map(ToString::to_string);
    let _ = reply.send(result);
    sentence
}
