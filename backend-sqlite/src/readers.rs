//! Reader threads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::connection;
use crate::error::Error;
use crate::options::Options;
use crate::read;

/// Maximum queued reads; more are rejected with `OVERLOADED`.
const QUEUE: usize = 4096;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// A thread pool with one read-only connection per thread and a shared queue.
#[derive(Debug)]
pub(crate) struct Readers {
    /// `None` once closed.
    queue: Mutex<Option<SyncSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    path: Arc<Path>,
    /// Whether the damage of the database is logged already.
    logged: Arc<AtomicBool>,
}

impl Readers {
    /// Opens the connections and starts the threads.
    pub(crate) fn start(options: &Options) -> Result<Self, Error> {
        let (queue, jobs) = sync_channel::<Job>(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut threads = Vec::new();
        for number in 0..options.readers.max(1) {
            let connection = connection::reader(&options.path, options.reader_cache_kib)?;
            let jobs = jobs.clone();
            let thread = std::thread::Builder::new()
                .name(format!("sqlite-read-{number}"))
                .spawn(move || serve(&connection, &jobs))
                .map_err(|error| connection::refuse(&options.path, error.to_string()))?;
            threads.push(thread);
        }
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            threads: Mutex::new(threads),
            path: options.path.as_path().into(),
            logged: Arc::default(),
        })
    }

    /// Runs `body` in a read transaction on a reader thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, received) = oneshot::channel();
        let (path, logged) = (Arc::clone(&self.path), Arc::clone(&self.logged));
        let job: Job = Box::new(move |connection| {
            // Skip the read if the caller is gone.
            if !reply.is_closed() {
                let read = read::transaction(connection, body);
                let read = read.map_err(|error| error.located(&path));
                if let Err(error @ Error::Damaged { .. }) = &read
                    && !logged.swap(true, Ordering::Relaxed)
                {
                    tracing::error!(%error, "a page of the database is unreadable");
                }
                let _ = reply.send(read);
            }
        });
        let sent = match self.queue.lock().as_ref() {
            Some(queue) => queue.try_send(job).map_err(|_| Error::Overloaded),
            None => Err(Error::Closed),
        };
        sent?;
        received.await.map_err(|_| Error::Closed)?
    }

    /// Finishes the queued reads and ends the threads.
    pub(crate) fn close(&self) {
        drop(self.queue.lock().take());
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reading thread panicked");
            }
        }
    }
}

fn serve(connection: &Connection, jobs: &Mutex<Receiver<Job>>) {
    loop {
        // One thread waits in recv while holding the lock; the others wait for the lock. A job goes
        // to exactly one.
        let job = jobs.lock().recv();
        match job {
            Ok(job) => job(connection),
            Err(_) => return,
        }
    }
}
