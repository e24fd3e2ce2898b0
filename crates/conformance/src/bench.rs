//! What a case works with: a connection, a group of its own, and the operations on it.

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

/// Plural of everything that cases store.
const RESOURCE: &str = "things";

/// How often a watch of the suite wants to hear of progress, milliseconds.
const PROGRESS_MS: i64 = 100;

/// Minor version of the protocol since which drivers keep the origin of a change.
pub(crate) const ORIGINS: u32 = 3;

/// How much a run does.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Seed of everything random.
    pub seed: u64,
    /// Ten times the load, for a night.
    pub long: bool,
}

/// The workplace of one case. Its group is fresh, so that cases neither meet each other nor what
/// the store held before.
#[derive(Clone)]
pub struct Bench {
    endpoint: Endpoint,
    described: DescribeResponse,
    group: String,
    empty: Option<Arc<dyn EmptyStores>>,
    /// Keeps the store of [`Bench::empty`] served.
    _store: Option<Arc<EmptyStore>>,
    /// A connection.
    pub client: Client,
    pub(crate) effort: Effort,
}

// === impl Bench ===

impl Bench {
    /// A workplace in a fresh group, on a connection of its own.
    #[must_use]
    pub fn new(endpoint: &Endpoint, described: &DescribeResponse, effort: Effort) -> Self {
        Self {
            client: Client::new(endpoint),
            endpoint: endpoint.clone(),
            described: described.clone(),
            empty: None,
            _store: None,
            group: format!("g{}.conformance.test", Uuid::new_v4().simple()),
            effort,
        }
    }

    /// The same keys through another endpoint.
    #[must_use]
    pub fn at(&self, endpoint: &Endpoint) -> Self {
        Self {
            client: Client::new(endpoint),
            endpoint: endpoint.clone(),
            ..self.clone()
        }
    }

    /// This workplace, and empty stores beside it.
    pub(crate) fn with_empty(self, empty: Option<Arc<dyn EmptyStores>>) -> Self {
        Self { empty, ..self }
    }

    /// A workplace with the same keys in an empty store.
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

    /// Another connection.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::new(&self.endpoint)
    }

    pub(crate) fn has(&self, capability: Capability) -> bool {
        let mut offered = self.described.capabilities();
        offered.any(|offered| offered == capability)
    }

    /// Whether the driver keeps the origin of a change.
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

    /// The key of `namespace/name`, or of `name` without a namespace.
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

    /// Everything of this case.
    pub(crate) fn range(&self) -> Range {
        Range {
            group: self.group.clone(),
            resource: RESOURCE.to_owned(),
            namespace: None,
            name: None,
        }
    }

    /// What of this case is in a namespace; the empty one holds what has none.
    pub(crate) fn range_of(&self, namespace: &str) -> Range {
        Range {
            namespace: Some(namespace.to_owned()),
            ..self.range()
        }
    }

    // ----- operations, each with an op_id of its own -----

    fn op(&self, action: Action, path: &str, value: Bytes) -> Op {
        Op {
            op_id: Bytes::copy_from_slice(Uuid::new_v4().as_bytes()),
            key: Some(self.key(path)),
            action: action.into(),
            value,
            ..Op::default()
        }
    }

    /// Creates a record.
    #[must_use]
    pub fn create(&self, path: &str, value: impl Into<Bytes>) -> Op {
        self.op(Action::Create, path, value.into())
    }

    /// Updates a record that has a revision.
    #[must_use]
    pub fn update(&self, path: &str, value: impl Into<Bytes>, expected: i64) -> Op {
        Op {
            expected_revision: expected,
            ..self.op(Action::Update, path, value.into())
        }
    }

    /// Deletes a record that has a revision.
    #[must_use]
    pub fn delete(&self, path: &str, expected: i64) -> Op {
        Op {
            expected_revision: expected,
            ..self.op(Action::Delete, path, Bytes::new())
        }
    }

    // ----- requests -----

    /// Everything of this case, at a revision.
    #[must_use]
    pub fn all(&self, revision: i64) -> ListRequest {
        ListRequest {
            range: Some(self.range()),
            revision,
            ..ListRequest::default()
        }
    }

    /// Changes of this case after a revision.
    #[must_use]
    pub fn after(&self, start_revision: i64) -> WatchRequest {
        WatchRequest {
            ranges: vec![self.range()],
            start_revision,
            progress_interval_ms: PROGRESS_MS,
        }
    }
}

/// `namespace/name`, or `name` without a namespace.
#[must_use]
pub fn path_of(key: &Key) -> String {
    if key.namespace.is_empty() {
        key.name.clone()
    } else {
        format!("{}/{}", key.namespace, key.name)
    }
}

/// A value with nothing to compress and nothing that repeats.
pub(crate) fn noise(seed: u64, length: usize) -> Bytes {
    use rand::{RngCore as _, SeedableRng as _};
    let mut bytes = vec![0; length];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}
