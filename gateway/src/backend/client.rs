//! The client of one backend.

use std::time::Duration;

use api_types::revision::Revision;
use backend_client::Endpoint;
use backend_proto::v1;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backend::calls::{Calls, Description};
use crate::backend::current::{Asker, Current};
use crate::backend::error::Error;
use crate::backend::key::ResourceId;
use crate::backend::list::{LoadBudget, RecordStream};
use crate::backend::record::{Header, Record, Verdict, WriteOp, signed};
use crate::backend::requests::Requests;
use crate::backend::seen::Identity;
use crate::backend::stream::ChangeStream;
use crate::backend::writer::{Queue, Writer};

/// Longest silence of the change stream before the backend says that nothing happened.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Client of one backend; cheap to clone.
#[derive(Clone, Debug)]
pub struct Backend {
    calls: Calls,
    queue: Queue,
    asker: Asker,
}

/// The background work of a [`Backend`]; nothing is written or asked unless it runs.
#[derive(Debug)]
pub struct BackendTasks {
    writer: Writer,
    current: Current,
}

impl Backend {
    /// A client; connections are made when they are first needed.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> (Self, BackendTasks) {
        let calls = Calls::new(endpoint);
        let (queue, writer) = Writer::new(calls.clone());
        let (asker, current) = Current::new(calls.clone());
        let backend = Self {
            calls,
            queue,
            asker,
        };
        (backend, BackendTasks { writer, current })
    }

    /// Asks who the driver is.
    ///
    /// # Errors
    /// [`super::Reason::Refused`] with a sentence for an operator if it does not fit this program,
    /// [`super::Reason::NotReady`] while an import is unfinished.
    pub async fn describe(&self) -> Result<Description, Error> {
        self.calls.describe().await
    }

    /// Lets the calls of clients through, once the objects of the store are loaded that this header
    /// is of.
    pub fn admit(&self, header: &Header) {
        self.calls.admit(header);
    }

    /// Makes one change, together with others that are made at the same time. What became of a
    /// broken call is found out by asking again. `found` is about how many bytes the record has that
    /// the verdict may show, 0 if that is not known: calls are cut to it.
    ///
    /// # Errors
    /// [`super::Reason::NotReady`] before [`Backend::admit`]; with [`super::Outcome::Unknown`] if the
    /// outcome could not be determined in time.
    pub async fn write(&self, op: WriteOp, found: usize) -> Result<Verdict<Record>, Error> {
        self.queue.write(op, found).await
    }

    /// The newest revision: not below any that was returned before this call.
    ///
    /// # Errors
    /// [`super::Reason::NotReady`] before [`Backend::admit`], or if the backend does not answer.
    pub async fn current_revision(&self) -> Result<Revision, Error> {
        self.asker.ask().await
    }

    /// Reads all records of a resource at a revision; now if there is none.
    ///
    /// # Errors
    /// [`super::Reason::Compacted`], or if the backend does not answer.
    pub(crate) async fn list(
        &self,
        resource: &ResourceId,
        revision: Option<Revision>,
        budget: &LoadBudget,
    ) -> Result<RecordStream, Error> {
        let request = v1::ListRequest {
            range: Some(v1::Range {
                group: resource.group().to_owned(),
                resource: resource.resource().to_owned(),
                ..v1::Range::default()
            }),
            revision: signed(revision),
            ..v1::ListRequest::default()
        };
        let stream = self.calls.list(request).await?;
        RecordStream::open(stream, &self.calls, resource.clone(), budget.clone()).await
    }

    /// Follows all changes after a revision.
    ///
    /// # Errors
    /// [`super::Reason::Compacted`], [`super::Reason::FutureRevision`], or if the backend does not
    /// respond.
    pub async fn watch(&self, after: Revision) -> Result<ChangeStream, Error> {
        let interval = i64::try_from(PROGRESS_INTERVAL.as_millis()).unwrap_or(i64::MAX);
        let request = v1::WatchRequest {
            ranges: Vec::new(),
            start_revision: signed(Some(after)),
            progress_interval_ms: interval,
        };
        let stream = self.calls.watch(request).await?;
        Ok(ChangeStream::new(stream, self.calls.clone(), after))
    }

    /// How often the backend was asked.
    pub(crate) const fn requests(&self) -> &Requests {
        self.calls.requests()
    }

    /// Notifies when the store is another one or its epoch changed, which invalidates every cache.
    pub(crate) fn identity(&self) -> IdentityWatch {
        IdentityWatch(self.calls.identity())
    }
}

/// See [`Backend::identity`].
#[derive(Debug)]
pub(crate) struct IdentityWatch(watch::Receiver<Option<Identity>>);

impl IdentityWatch {
    /// Takes the identity seen by now as the known one, if it is of this epoch.
    pub(crate) fn accept(&mut self, epoch: u64) {
        let seen = self
            .0
            .borrow_and_update()
            .as_ref()
            .map(|identity| identity.epoch);
        if seen.is_some_and(|seen| seen != epoch) {
            self.0.mark_changed();
        }
    }

    /// Waits until it differs from the accepted one.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The sender lives as long as any client; without one nothing changes.
            std::future::pending::<()>().await;
        }
    }
}

impl BackendTasks {
    /// Runs until cancelled, then finishes the writes under way.
    pub async fn run(self, cancel: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.writer.run(cancel.clone()));
        tasks.spawn(self.current.run(cancel));
        while tasks.join_next().await.is_some() {}
    }
}
