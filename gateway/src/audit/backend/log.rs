//! The log: one line of JSON per event, in a file or on standard output.
//!
//! A thread of its own writes, because a full pipe or a failed disk blocks it for any time.

use std::io::{self, Write as _};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::batch::{Batches, encode};
use super::queue::Job;
use super::rotated::Rotated;
pub use super::rotated::Rotation;
use super::throttle::Bucket;
use super::{Delivery, Error, LogPath, Truncate};
use crate::audit::metrics::{Metrics, Plugin};

/// Configuration of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Where it is written.
    pub path: LogPath,
    /// When the file is rotated, and how many old ones are kept.
    pub rotation: Rotation,
    /// How events reach it.
    pub delivery: Delivery,
    /// Limits of the size of events.
    pub truncate: Option<Truncate>,
}

/// An open log.
#[derive(Debug)]
pub struct Output(Sink);

#[derive(Debug)]
enum Sink {
    Stdout,
    File(Rotated),
}

/// The task of the log.
#[derive(Debug)]
pub struct Writer {
    batches: Batches,
    throttle: Option<Bucket>,
    thread: SyncSender<Batch>,
    /// Closed when the thread has ended.
    ended: oneshot::Receiver<()>,
}

#[derive(Debug)]
struct Batch {
    jobs: Vec<Job>,
    written: oneshot::Sender<()>,
}

/// The thread that writes.
struct Thread {
    output: Output,
    truncate: Option<Truncate>,
    metrics: Metrics,
    /// The lines that are not written yet, and their events.
    lines: Vec<u8>,
    jobs: Vec<Job>,
}

impl Output {
    /// Opens the log, and creates its file and folder.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(options: &Options) -> Result<Self, Error> {
        let path = match &options.path {
            LogPath::Stdout => return Ok(Self(Sink::Stdout)),
            LogPath::File(path) => path,
        };
        let file = Rotated::open(path, options.rotation).map_err(|source| Error::Log {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self(Sink::File(file)))
    }

    fn has_room(&self, bytes: usize) -> bool {
        match &self.0 {
            Sink::Stdout => true,
            Sink::File(file) => file.has_room(bytes),
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines).and_then(|()| out.flush())
            }
            Sink::File(file) => file.append(lines),
        }
    }
}

impl Writer {
    /// Starts the thread.
    pub(in crate::audit) fn start(
        options: &Options,
        output: Output,
        jobs: mpsc::Receiver<Job>,
        metrics: Metrics,
    ) -> io::Result<Self> {
        // One batch is being written; the next one waits in the task.
        let (send, batches) = sync_channel(1);
        let (end, ended) = oneshot::channel();
        let thread = Thread {
            output,
            truncate: options.truncate,
            metrics,
            lines: Vec::new(),
            jobs: Vec::new(),
        };
        let run = move || {
            thread.run(&batches);
            drop(end);
        };
        // Not joined: a thread that hangs must not delay the end of the process. `ended` reports
        // the end of any other.
        drop(
            thread::Builder::new()
                .name("audit-log".to_owned())
                .spawn(run)?,
        );
        Ok(Self {
            batches: Batches::new(jobs, options.delivery),
            throttle: options.delivery.throttle.map(Bucket::new),
            thread: send,
            ended,
        })
    }

    /// Writes events until cancelled, then those that are left.
    pub(in crate::audit) async fn run(mut self, stop: CancellationToken) {
        while let Some(jobs) = self.batches.next(&stop).await {
            if let Some(bucket) = &mut self.throttle {
                bucket.take().await;
            }
            let (written, done) = oneshot::channel();
            // The channel is empty, because the preceding batch has been written.
            if self.thread.try_send(Batch { jobs, written }).is_err() || done.await.is_err() {
                tracing::error!("the thread of the audit log has ended");
            }
        }
        drop(self.thread);
        let _ = self.ended.await;
    }
}

impl Thread {
    fn run(mut self, batches: &Receiver<Batch>) {
        while let Ok(Batch { jobs, written }) = batches.recv() {
            jobs.into_iter().for_each(|job| self.put(job));
            self.flush();
            // The task may have stopped waiting.
            let _ = written.send(());
        }
        if let Sink::File(file) = &mut self.output.0 {
            file.finish();
        }
    }

    fn put(&mut self, job: Job) {
        let start = self.lines.len();
        if !encode(&job, self.truncate, &self.metrics, &mut self.lines) {
            job.finish(false);
            return;
        }
        self.lines.push(b'\n');
        if !self.output.has_room(self.lines.len()) && start > 0 {
            // The file is full with the preceding lines.
            let line = self.lines.split_off(start);
            self.flush();
            self.lines = line;
        }
        self.jobs.push(job);
    }

    fn flush(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let written = self.output.append(&self.lines);
        if let Err(error) = &written {
            self.metrics.lost(Plugin::Log, self.jobs.len(), error);
        }
        self.lines.clear();
        let jobs = self.jobs.drain(..);
        jobs.for_each(|job| job.finish(written.is_ok()));
    }
}
