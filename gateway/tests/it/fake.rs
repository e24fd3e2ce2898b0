//! An in-memory backend that can be killed, compacted, restored, and made to lose responses.

#[path = "fake/faults.rs"]
pub(crate) mod faults;
#[path = "fake/service.rs"]
mod service;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use backend_proto::error::{BackendError, Outcome, Reason, to_status};
use backend_proto::v1::backend_server::BackendServer;
use backend_proto::v1::{self, event::Type, op::Action, op_result};
use parking_lot::Mutex;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::Status;

use faults::Faults;
use service::Service;

/// State that survives a kill.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    epoch: i64,
    revision: i64,
    compact: i64,
    log: Vec<v1::Event>,
    verdicts: HashMap<Vec<u8>, v1::OpResult>,
    /// Number of writes that are stored without a response.
    pub(crate) lost_responses: usize,
    /// Injected faults.
    pub(crate) faults: Faults,
    /// Calls of CurrentRevision.
    pub(crate) revision_reads: usize,
    /// Opened watch streams, and lists.
    pub(crate) streams: usize,
    /// Requested operations, including repeated ones.
    pub(crate) ops: usize,
    /// Largest number of operations in one call.
    pub(crate) most_ops: usize,
    /// Open calls of Write and CurrentRevision.
    pub(crate) open: usize,
}

/// The disk and the process over it.
pub(crate) struct Fake {
    pub(crate) disk: Arc<Mutex<Disk>>,
    moved: watch::Sender<()>,
    socket: PathBuf,
    process: Option<Runtime>,
    _dir: tempfile::TempDir,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let epoch = 1;
        let base = epoch << 40;
        let disk = Disk {
            epoch,
            revision: base,
            compact: base,
            ..Disk::default()
        };
        let mut fake = Self {
            disk: Arc::new(Mutex::new(disk)),
            moved: watch::Sender::new(()),
            socket: dir.path().join("backend.sock"),
            process: None,
            _dir: dir,
        };
        fake.start();
        fake
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Starts the process.
    pub(crate) fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let service = Service {
            disk: Arc::clone(&self.disk),
            moved: self.moved.clone(),
        };
        let listener = std::os::unix::net::UnixListener::bind(&self.socket).expect("a socket");
        listener.set_nonblocking(true).expect("not blocking");
        let entered = runtime.enter();
        let incoming = UnixListenerStream::new(UnixListener::from_std(listener).expect("a socket"));
        drop(entered);
        let server = tonic::transport::Server::builder()
            .add_service(BackendServer::new(service).max_decoding_message_size(64 << 20));
        runtime.spawn(server.serve_with_incoming(incoming));
        self.process = Some(runtime);
    }

    /// Kills the process (kill -9).
    pub(crate) fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.shutdown_background();
        }
        let _ = std::fs::remove_file(&self.socket);
    }

    /// Stores values without the gateway; returns the last revision.
    pub(crate) fn put(&self, pairs: impl IntoIterator<Item = (String, Vec<u8>)>) -> u64 {
        let mut disk = self.disk.lock();
        for (key, value) in pairs {
            let (namespace, name) = key.split_once('/').expect("namespace/name");
            let key = v1::Key {
                group: "example.com".to_owned(),
                resource: "things".to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            disk.store(key, Some(value.into()));
        }
        let revision = disk.revision;
        drop(disk);
        self.moved.send_replace(());
        revision as u64
    }

    /// Injects or removes faults.
    pub(crate) fn fault<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        let changed = change(&mut self.disk.lock().faults);
        self.moved.send_replace(());
        changed
    }

    /// Number of committed changes.
    pub(crate) fn changes(&self) -> usize {
        self.disk.lock().log.len()
    }

    /// The newest revision.
    pub(crate) fn revision(&self) -> u64 {
        self.disk.lock().revision as u64
    }

    /// The value of a thing in namespace `a`.
    pub(crate) fn find(&self, name: &str) -> Option<bytes::Bytes> {
        let disk = self.disk.lock();
        let of_name = |record: &&v1::Record| record.key.as_ref().is_some_and(|it| it.name == name);
        let last = disk.state(disk.revision);
        last.values()
            .find(of_name)
            .map(|record| record.value.clone())
    }

    /// Deletes a thing of namespace `a` without the gateway.
    pub(crate) fn remove(&self, name: &str) {
        let key = v1::Key {
            group: "example.com".to_owned(),
            resource: "things".to_owned(),
            namespace: "a".to_owned(),
            name: name.to_owned(),
        };
        self.disk.lock().store(key, None);
        self.moved.send_replace(());
    }

    /// Compacts the history.
    pub(crate) fn compact(&self, revision: u64) {
        self.disk.lock().compact = revision as i64;
    }

    /// A restore: the last `lost` changes disappear, and the epoch increases.
    pub(crate) fn restore(&self, lost: usize) {
        let mut disk = self.disk.lock();
        let kept = disk.log.len() - lost;
        disk.log.truncate(kept);
        disk.epoch += 1;
        disk.revision = disk.epoch << 40;
        disk.compact = disk.revision;
        drop(disk);
        self.moved.send_replace(());
    }

    /// Replaces the store by one of an older epoch.
    pub(crate) fn put_back(&self) {
        let mut disk = self.disk.lock();
        disk.epoch -= 1;
        disk.revision = disk.epoch << 40;
        disk.compact = disk.revision;
        drop(disk);
        self.moved.send_replace(());
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Disk {
    fn header(&self) -> Option<v1::Header> {
        let (epoch, revision, compact_revision) = (self.epoch, self.revision, self.compact);
        Some(v1::Header {
            store_id: self
                .faults
                .store_id
                .clone()
                .unwrap_or_else(|| "fake".to_owned()),
            epoch,
            revision,
            compact_revision,
        })
    }

    /// State at a revision, in key order.
    fn state(&self, revision: i64) -> BTreeMap<(String, String, String), v1::Record> {
        let mut state = BTreeMap::new();
        for event in self.log.iter().filter(|event| event.revision <= revision) {
            let record = event.record.clone().expect("set below");
            let key = record.key.clone().expect("set below");
            let key = (
                key.group,
                key.resource,
                format!("{}/{}", key.namespace, key.name),
            );
            match event.r#type() {
                Type::Deleted => drop(state.remove(&key)),
                _ => drop(state.insert(key, record)),
            }
        }
        state
    }

    fn find(&self, key: &v1::Key) -> Option<&v1::Record> {
        let of_key = |event: &&v1::Event| {
            event.record.as_ref().and_then(|record| record.key.as_ref()) == Some(key)
        };
        let last = self.log.iter().rev().find(of_key)?;
        (last.r#type() != Type::Deleted).then_some(last.record.as_ref()?)
    }

    fn store(&mut self, key: v1::Key, value: Option<bytes::Bytes>) -> i64 {
        let previous = self.find(&key).cloned();
        self.revision += 1;
        let revision = self.revision;
        let (kind, record) = match (value, &previous) {
            (Some(value), previous) => {
                let kind = if previous.is_some() {
                    Type::Updated
                } else {
                    Type::Created
                };
                let key = Some(key);
                (
                    kind,
                    v1::Record {
                        key,
                        revision,
                        value,
                        ..v1::Record::default()
                    },
                )
            }
            (None, Some(previous)) => (Type::Deleted, previous.clone()),
            (None, None) => panic!("delete of nothing"),
        };
        let previous_revision = previous.map_or(0, |previous| previous.revision);
        let (r#type, record) = (kind.into(), Some(record));
        let event = v1::Event {
            revision,
            r#type,
            record,
            previous_revision,
            ..v1::Event::default()
        };
        self.log.push(event);
        revision
    }

    fn apply(&mut self, op: v1::Op) -> v1::OpResult {
        if let Some(verdict) = self.verdicts.get(op.op_id.as_ref()) {
            return verdict.clone();
        }
        let name = op.key.as_ref().map_or("", |key| &key.name);
        if let Some(error) = self.faults.rejected.get(name) {
            let verdict = Some(op_result::Verdict::Refused(error.clone()));
            return v1::OpResult { verdict };
        }
        let op_id = op.op_id.to_vec();
        let verdict = v1::OpResult {
            verdict: Some(self.verdict(op)),
        };
        self.verdicts.insert(op_id, verdict.clone());
        verdict
    }

    fn verdict(&mut self, op: v1::Op) -> op_result::Verdict {
        use op_result::conflict::Cause;
        let key = op.key.clone().expect("a key");
        let current = self.find(&key).cloned();
        let conflict = |cause: Cause| {
            let current = current.clone();
            op_result::Verdict::Conflict(op_result::Conflict {
                cause: cause.into(),
                current,
            })
        };
        if op.action() == Action::Create && current.is_none() && self.faults.taken > 0 {
            self.faults.taken -= 1;
            return conflict(Cause::Exists);
        }
        let value = match (op.action(), &current) {
            (Action::Create, Some(_)) => return conflict(Cause::Exists),
            (Action::Update | Action::Delete, None) => return conflict(Cause::NotFound),
            (Action::Update | Action::Delete, Some(current))
                if op.expected_revision != 0 && op.expected_revision != current.revision =>
            {
                return conflict(Cause::Revision);
            }
            (Action::Update, Some(current)) if current.value == op.value => {
                let (revision, noop) = (current.revision, true);
                let applied = op_result::Applied {
                    revision,
                    noop,
                    ..Default::default()
                };
                return op_result::Verdict::Applied(applied);
            }
            (Action::Delete, _) => None,
            _ => Some(op.value),
        };
        let deleted = if value.is_none() { current } else { None };
        let revision = self.store(key, value);
        op_result::Verdict::Applied(op_result::Applied {
            revision,
            deleted,
            ..Default::default()
        })
    }

    /// Rejects a revision outside of the history.
    fn within(&self, revision: i64) -> Result<(), Status> {
        let reject = |reason: Reason| {
            Err(to_status(&BackendError {
                reason: reason.into(),
                outcome: Outcome::NotApplied.into(),
                compact_revision: self.compact,
                current_revision: self.revision,
                message: "out of range".to_owned(),
                ..BackendError::default()
            }))
        };
        match revision {
            revision if revision < self.compact => reject(Reason::Compacted),
            revision if revision > self.revision => reject(Reason::FutureRevision),
            _ => Ok(()),
        }
    }
}
