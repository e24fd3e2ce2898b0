//! The client of one backend.

use std::time::Duration;

use api_types::revision::Revision;
use backend_client::Endpoint;
use backend_proto::v1;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backend::calls::{Calls, Description};
use crate::backend::error::Error;
use crate::backend::key::ResourceId;
use crate::backend::list::{LoadBudget, RecordStream};
use crate::backend::record::{Header, Record, Verdict, WriteOp, signed};
use crate::backend::requests::Requests;
use crate::backend::revision_guard::Identity;
use crate::backend::revision_reader::{RevisionReader, RevisionTask};
use crate::backend::stream::ChangeStream;
use crate::backend::writer::{Queue, Writer};

/// Interval of the backend's progress messages on an idle change stream.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Client of one backend; cheap to clone.
#[derive(Clone, Debug)]
pub struct Backend {
    calls: Calls,
    queue: Queue,
    revisions: RevisionReader,
}

/// The background work of a [`Backend`]; writes and reads of the revision need it.
#[derive(Debug)]
pub struct BackendTasks {
    writer: Writer,
    revisions: RevisionTask,
}

impl Backend {
    /// A client that connects at its first call.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> (Self, BackendTasks) {
        let calls = Calls::new(endpoint);
        let (queue, writer) = Writer::new(calls.clone());
        let (reader, revisions) = RevisionTask::new(calls.clone());
        let backend = Self {
            calls,
            queue,
            revisions: reader,
        };
        (backend, BackendTasks { writer, revisions })
    }

    /// Describes the driver and its store.
    ///
    /// # Errors
    /// [`super::Reason::Incompatible`] with a sentence for an operator if the driver does not fit
    /// this program, [`super::Reason::NotReady`] while an import is unfinished.
    pub async fn describe(&self) -> Result<Description, Error> {
        self.calls.describe().await
    }

    /// Admits the calls of clients. The objects of the store with this header are loaded.
    pub fn admit(&self, header: &Header) {
        self.calls.admit(header);
    }

    /// Makes one change, in one call with concurrent changes. If the outcome of a call is unknown,
    /// it is repeated with the same op id. `stored_bytes` is the approximate size of the stored
    /// record, which the verdict may contain, or 0 if it is unknown: it bounds the response of a
    /// call.
    ///
    /// # Errors
    /// [`super::Reason::NotReady`] before [`Backend::admit`]; with [`super::Outcome::Unknown`] if
    /// the outcome could not be determined before the deadline.
    pub async fn write(&self, op: WriteOp, stored_bytes: usize) -> Result<Verdict<Record>, Error> {
        self.queue.write(op, stored_bytes).await
    }

    /// The newest revision. It is not below any revision that was returned before this call.
    ///
    /// # Errors
    /// [`super::Reason::NotReady`] before [`Backend::admit`], or if the backend does not respond.
    pub async fn current_revision(&self) -> Result<Revision, Error> {
        self.revisions.read().await
    }

    /// Lists all records of a resource at a revision, or the newest state if it is `None`.
    ///
    /// # Errors
    /// [`super::Reason::Compacted`], or if the backend does not respond.
    pub(crate) async fn list(
        &self,
        resource: &ResourceId,
        revision: Option<Revision>,
        budget: &LoadBudget,
    ) -> Result<RecordStream, Error> {
        let request = v1::ListRequest {
            range: Some(v1::Range {
                group: resource.stored_group().to_owned(),
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

    /// Counters of requests.
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
    /// Accepts the current identity if it has this epoch.
    pub(crate) fn accept(&mut self, epoch: u64) {
        let current = self
            .0
            .borrow_and_update()
            .as_ref()
            .map(|identity| identity.epoch);
        if current.is_some_and(|current| current != epoch) {
            self.0.mark_changed();
        }
    }

    /// Waits until it differs from the accepted one.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Every client holds the sender; without a client nothing changes.
            std::future::pending::<()>().await;
        }
    }
}

impl BackendTasks {
    /// Runs until cancelled, then completes the writes in flight.
    pub async fn run(self, cancel: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.writer.run(cancel.clone()));
        tasks.spawn(self.revisions.run(cancel));
        while tasks.join_next().await.is_some() {}
    }
}
