//! Context of a case: a connection, a private API group, and the operations on it.

use std::sync::Arc;

use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::op::Action;
use backend_proto::v1::{DescribeResponse, Key, Limits, ListRequest, Op, Range, WatchRequest};
use bytes::Bytes;
use uuid::Uuid;

use crate::check::{Check, Stop};
use crate::client::Client;
use crate::empty::{EmptyStore, EmptyStores};
use backend_client::Endpoint;

/// Plural resource name of all records that cases store.
const RESOURCE: &str = "things";

/// Interval of progress messages in the suite's watches, in milliseconds.
const PROGRESS_MS: i64 = 100;

/// First minor version of the protocol whose drivers store origins of changes.
pub(crate) const ORIGINS: u32 = 3;

/// Options of a run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Seed of all random choices.
    pub seed: u64,
    /// Whether to run ten times the load, for nightly runs.
    pub long: bool,
}

/// Context of one case. Its API group is unique, so that cases are independent of each other and of
/// the store's content.
#[derive(Clone)]
pub struct CaseContext {
    endpoint: Endpoint,
    described: DescribeResponse,
    group: String,
    empty: Option<Arc<dyn EmptyStores>>,
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
        Self {
            client: Client::new(endpoint),
            endpoint: endpoint.clone(),
            described: described.clone(),
            empty: None,
            _store: None,
            group: format!("g{}.conformance.test", Uuid::new_v4().simple()),
            run_options,
        }
    }

    /// Returns a context with the same keys at another endpoint.
    #[must_use]
    pub fn at(&self, endpoint: &Endpoint) -> Self {
        Self {
            client: Client::new(endpoint),
            endpoint: endpoint.clone(),
            ..self.clone()
        }
    }

    /// Adds a source of empty stores.
    pub(crate) fn with_empty(self, empty: Option<Arc<dyn EmptyStores>>) -> Self {
        Self { empty, ..self }
    }

    /// Returns a context with the same keys in an empty store.
    pub(crate) async fn empty(&self) -> Check<Self> {
        let Some(stores) = &self.empty else {
            let sentence = "no empty stores can be had: see --empty-command";
            return Err(Stop::Skipped(sentence.to_owned()));
        };
        let store = stores.serve().await;
        let store = store.map_err(|why| Stop::Failed(format!("an empty store: {why}")))?;
        Ok(Self {
            client: Client::new(&store.endpoint),
            endpoint: store.endpoint.clone(),
            _store: Some(Arc::new(store)),
            ..self.clone()
        })
    }

    /// Opens another connection.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::new(&self.endpoint)
    }

    pub(crate) fn has(&self, capability: Capability) -> bool {
        let mut offered = self.described.capabilities();
        offered.any(|offered| offered == capability)
    }

    /// Whether the driver stores origins of changes.
    pub(crate) fn has_origins(&self) -> bool {
        self.described.protocol_minor_max >= ORIGINS
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

/// Returns an incompressible value without repetitions.
pub(crate) fn noise(seed: u64, length: usize) -> Bytes {
    use rand::{RngCore as _, SeedableRng as _};
    let mut bytes = vec![0; length];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}
