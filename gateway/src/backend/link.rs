//! A connection that never reconnects. A lost one is replaced, so that `Describe` precedes every
//! other call on a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backend_client::Endpoint;
use backend_proto::limits::MAX_MESSAGE_BYTES;
use backend_proto::v1::backend_client::BackendClient;
use parking_lot::Mutex;
use tokio::sync::MutexGuard;
use tonic::transport::Channel;

pub(super) type Client = BackendClient<Channel>;

/// One use of an endpoint, and its current connection.
#[derive(Debug)]
pub(super) struct Link {
    endpoint: Endpoint,
    live: Mutex<Option<Live>>,
    /// Held by the call that connects; other calls wait for it.
    connecting: tokio::sync::Mutex<()>,
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) client: Client,
    spent: Spent,
}

/// Set when a connection ended or could not be established.
#[derive(Clone, Debug, Default)]
pub(super) struct Spent(Arc<AtomicBool>);

impl Link {
    /// A link that connects at its first use.
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        Self {
            endpoint: endpoint.clone(),
            live: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Waits for the call that connects.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.connecting.lock().await
    }

    /// The current connection, unless it has ended.
    pub(super) fn serving(&self) -> Option<Live> {
        let live = self.live.lock();
        live.as_ref().filter(|live| !live.is_spent()).cloned()
    }

    /// A new connection. [`Self::keep`] makes it the current one.
    pub(super) fn connect(&self) -> Live {
        let spent = Spent::default();
        let lost = spent.clone();
        let channel = self.endpoint.channel_once(move || lost.note());
        let client = BackendClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Live { client, spent }
    }

    /// Makes a connection the current one.
    pub(super) fn keep(&self, live: Live) {
        *self.live.lock() = Some(live);
    }
}

impl Live {
    /// Whether the connection has ended.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.0.load(Ordering::Acquire)
    }
}

impl Spent {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }
}
