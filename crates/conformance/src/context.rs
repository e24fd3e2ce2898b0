//! Context of a case: a connection, a private API group, and the operations on it.

use std::collections::HashMap;
use std::sync::Arc;

use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::op::Action;
use backend_proto::v1::{DescribeResponse, Key, Limits, ListRequest, Op, Range, WatchRequest};
use bytes::Bytes;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::calls::LastCall;
use crate::check::{Check, Stop};
use crate::client::Client;
use crate::empty::{EmptyStore, EmptyStores, Situation};
use crate::restart::Restarts;
use backend_client::Endpoint;

/// Plural resource name of all records that cases store.
const RESOURCE: &str = "things";

/// Interval of progress messages in the suite's watches, in milliseconds.
const PROGRESS_MS: i64 = 100;

/// First minor version of the protocol whose drivers store origins of changes.
pub(crate) const ORIGINS: u32 = 3;

/// First minor version of the protocol whose drivers report the progress of exports.
pub(crate) const PROGRESS: u32 = 4;

/// Names of failed preparations, with the case in which each failed first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preparations(Arc<Mutex<HashMap<&'static str, &'static str>>>);

/// What a run offers to its cases, besides the driver's endpoint.
#[derive(Clone)]
pub struct Setup {
    /// Source of empty stores; without it, the cases that need one are skipped.
    pub empty: Option<Arc<dyn EmptyStores>>,
    /// Restarts of the driver; without it, the cases that need them are skipped.
    pub restarts: Option<Arc<dyn Restarts>>,
    /// Failed preparations of this run.
    pub(crate) preparations: Preparations,
}

/// Options of a run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Seed of all random choices.
    pub seed: u64,
    /// Whether to run ten times the load, for nightly runs.
    pub long: bool,
}

impl Setup {
    /// Builds what a run offers.
    #[must_use]
    pub fn new(empty: Option<Arc<dyn EmptyStores>>, restarts: Option<Arc<dyn Restarts>>) -> Self {
        Self {
            empty,
            restarts,
            preparations: Preparations::default(),
        }
    }
}

/// Context of one case. Its API group is unique, so that cases are independent of each other and of
/// the store's content.
#[derive(Clone)]
pub struct CaseContext {
    endpoint: Endpoint,
    described: DescribeResponse,
    group: String,
    empty: Option<Arc<dyn EmptyStores>>,
    restarts: Option<Arc<dyn Restarts>>,
    preparations: Preparations,
    /// Id of the case, for the messages of later ones.
    case: &'static str,
    last: LastCall,
    /// Keeps the store of [`CaseContext::empty`] served.
    _store: Option<Arc<EmptyStore>>,
    /// Client of the driver under test.
    pub client: Client,
    pub(crate) run_options: RunOptions,
}

// === impl CaseContext ===

impl CaseContext {
    /// Creates a context with a new group and its own connection.
    #[must_use]
    pub fn new(endpoint: &Endpoint, described: &DescribeResponse, run_options: RunOptions) -> Self {
        let last = LastCall::default();
        Self {
            client: Client::noting(endpoint, last.clone()),
            endpoint: endpoint.clone(),
            described: described.clone(),
            empty: None,
            restarts: None,
            preparations: Preparations::default(),
            case: "",
            last,
            _store: None,
            group: format!("g{}.conformance.test", Uuid::new_v4().simple()),
            run_options,
        }
    }

    /// Returns a context with the same keys at another endpoint.
    #[must_use]
    pub fn at(&self, endpoint: &Endpoint) -> Self {
        Self {
            client: Client::noting(endpoint, self.last.clone()),
            endpoint: endpoint.clone(),
            ..self.clone()
        }
    }

    /// Makes this the context of a case in a run.
    pub(crate) fn of_case(self, case: &'static str, run: &Setup) -> Self {
        Self {
            case,
            empty: run.empty.clone(),
            restarts: run.restarts.clone(),
            preparations: run.preparations.clone(),
            ..self
        }
    }

    /// Returns a context with the same keys in an empty store.
    pub(crate) async fn empty(&self) -> Check<Self> {
        let Some(stores) = &self.empty else {
            return Err(no_empty_stores());
        };
        let serve = async { stores.serve().await.map_err(Stop::Failed) };
        let store = self.prepare("the start of an empty store", serve).await?;
        Ok(self.in_store(store))
    }

    /// As [`CaseContext::empty`], in a special situation.
    pub(crate) async fn empty_in(&self, situation: Situation) -> Check<Self> {
        match &self.empty {
            Some(stores) => Ok(self.in_store(stores.serve_in(situation).await?)),
            None => Err(no_empty_stores()),
        }
    }

    fn in_store(&self, store: EmptyStore) -> Self {
        Self {
            client: Client::noting(&store.endpoint, self.last.clone()),
            endpoint: store.endpoint.clone(),
            restarts: store.restarts.clone(),
            _store: Some(Arc::new(store)),
            ..self.clone()
        }
    }

    /// Prepares what several cases share. The first failure fails its case; later cases are skipped
    /// with its id.
    pub(crate) async fn prepare<T>(
        &self,
        what: &'static str,
        preparation: impl Future<Output = Check<T>>,
    ) -> Check<T> {
        if let Some(case) = self.preparations.0.lock().get(what) {
            return Err(Stop::Skipped(format!("{what} fails: see {case}")));
        }
        preparation.await.map_err(|stop| match stop {
            Stop::Failed(why) => {
                self.preparations.0.lock().insert(what, self.case);
                Stop::Failed(format!("{what}: {why}"))
            }
            skipped @ Stop::Skipped(_) => skipped,
        })
    }

    /// Returns the restarts of the driver.
    pub(crate) fn restarts(&self) -> Check<&Arc<dyn Restarts>> {
        let reason = "the driver cannot be restarted: see --restart-command";
        let restarts = self.restarts.as_ref();
        restarts.ok_or_else(|| Stop::Skipped(reason.to_owned()))
    }

    /// Kills the driver and starts it on the same data. Connections from before are of no use.
    pub(crate) async fn restarted(&self) -> Check<Self> {
        let restarted = self.restarts()?.restart().await;
        restarted.map_err(|why| Stop::Failed(format!("a restart after SIGKILL: {why}")))?;
        Ok(self.at(&self.endpoint))
    }

    /// Opens another connection.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::noting(&self.endpoint, self.last.clone())
    }

    /// Returns the address of the store.
    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the text of the last request of the case.
    pub(crate) fn last_call(&self) -> Option<String> {
        self.last.text()
    }

    pub(crate) fn has(&self, capability: Capability) -> bool {
        let mut offered = self.described.capabilities();
        offered.any(|offered| offered == capability)
    }

    /// Whether the driver speaks a minor version of the protocol.
    pub(crate) const fn speaks(&self, minor: u32) -> bool {
        self.described.protocol_minor_max >= minor
    }

    /// Whether the driver stores origins of changes.
    pub(crate) fn has_origins(&self) -> bool {
        self.speaks(ORIGINS)
    }

    pub(crate) fn limits(&self) -> Limits {
        self.described.limits.unwrap_or_default()
    }

    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    // ----- keys -----

    /// Returns the key of `namespace/name`, or of a cluster-scoped `name`.
    #[must_use]
    pub fn key(&self, path: &str) -> Key {
        let (namespace, name) = path.split_once('/').unwrap_or(("", path));
        Key {
            group: self.group.clone(),
            resource: RESOURCE.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Range of all keys of this case.
    pub(crate) fn range(&self) -> Range {
        Range {
            group: self.group.clone(),
            resource: RESOURCE.to_owned(),
            namespace: None,
            name: None,
        }
    }

    /// Range of the keys in a namespace; the empty namespace holds cluster-scoped keys.
    pub(crate) fn range_of(&self, namespace: &str) -> Range {
        Range {
            namespace: Some(namespace.to_owned()),
            ..self.range()
        }
    }

    // ----- operations, each with a unique op_id -----

    fn op(&self, action: Action, path: &str, value: Bytes) -> Op {
        Op {
            op_id: Bytes::copy_from_slice(Uuid::new_v4().as_bytes()),
            key: Some(self.key(path)),
            action: action.into(),
            value,
            ..Op::default()
        }
    }

    /// Builds the creation of a record.
    #[must_use]
    pub fn create(&self, path: &str, value: impl Into<Bytes>) -> Op {
        self.op(Action::Create, path, value.into())
    }

    /// Builds the update of a record at a revision.
    #[must_use]
    pub fn update(&self, path: &str, value: impl Into<Bytes>, expected: i64) -> Op {
        Op {
            expected_revision: expected,
            ..self.op(Action::Update, path, value.into())
        }
    }

    /// Builds the deletion of a record at a revision.
    #[must_use]
    pub fn delete(&self, path: &str, expected: i64) -> Op {
        Op {
            expected_revision: expected,
            ..self.op(Action::Delete, path, Bytes::new())
        }
    }

    // ----- requests -----

    /// Builds a list of all records of this case at a revision.
    #[must_use]
    pub fn all(&self, revision: i64) -> ListRequest {
        ListRequest {
            range: Some(self.range()),
            revision,
            ..ListRequest::default()
        }
    }

    /// Builds a watch of all changes of this case after a revision.
    #[must_use]
    pub fn after(&self, start_revision: i64) -> WatchRequest {
        WatchRequest {
            ranges: vec![self.range()],
            start_revision,
            progress_interval_ms: PROGRESS_MS,
        }
    }
}

fn no_empty_stores() -> Stop {
    Stop::Skipped("there is no source of empty stores: see --empty-command".to_owned())
}

/// Returns an incompressible value without repetitions.
pub(crate) fn noise(seed: u64, length: usize) -> Bytes {
    use rand::{RngCore as _, SeedableRng as _};
    let mut bytes = vec![0; length];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}
