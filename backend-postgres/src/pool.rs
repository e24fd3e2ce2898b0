//! Connection pools. Their size is fixed, independent of the number of watchers and requests.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{
    Manager, Metrics, Object, Pool as Managed, PoolError, RecycleError, RecycleResult, TimeoutType,
    Timeouts,
};
use tokio::time::sleep;

use crate::connect::CONNECT_TIMEOUT;
use crate::connection::Connection;
use crate::error::Error;
use crate::host_watch;
use crate::lineage::Lineage;
use crate::migrate;
use crate::options::Options;
use crate::shared::Shared;
use crate::store;

/// Interval at which a caller that waits for a connection checks for an outage.
const POLL_INTERVAL: Duration = Duration::from_millis(1500);

/// A read that met a dead connection is retried on another one, if the failure came within this
/// time.
pub(crate) const RETRY_WITHIN: Duration = Duration::from_millis(500);

/// Runs the block with a connection of a pool, retries it with another if the first is dead, and
/// records the result. A macro, because a closure cannot lend its future both the connection and
/// its environment.
macro_rules! read {
    ($driver:expr, $connection:ident => $block:block) => {{
        let begun = std::time::Instant::now();
        let mut first = true;
        let result = loop {
            let once = async {
                let pooled = $driver.readers.get().await?;
                let $connection: &Connection = &pooled;
                $block
            };
            match once.await {
                Err(Error::Lost(_)) if first && begun.elapsed() < crate::pool::RETRY_WITHIN => {
                    first = false;
                }
                result => break result,
            }
        };
        $driver.shared.record(begun, result)
    }};
}
pub(crate) use read;

/// Opens connections to a database and inspects it.
#[derive(Clone)]
pub(crate) struct Connector {
    options: Arc<Options>,
    shared: Arc<Shared>,
}

/// A fixed number of connections.
#[derive(Clone)]
pub(crate) struct Pool {
    connections: Managed<Connector>,
    shared: Arc<Shared>,
}

/// A connection that returns to the pool when dropped. An unusable one is closed immediately,
/// because its transaction may hold locks.
pub(crate) struct PooledConnection(Option<Object<Connector>>);

impl Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        // `None` only during `drop`.
        self.0
            .as_ref()
            .unwrap_or_else(|| unreachable!("a connection that was given back"))
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if let Some(pooled) = self.0.take_if(|pooled| !pooled.is_usable()) {
            drop(Object::take(pooled));
        }
    }
}

impl Connector {
    pub(crate) fn new(options: Arc<Options>, shared: Arc<Shared>) -> Self {
        Self { options, shared }
    }

    /// Connects to a server whose store lacks no observed commit, or began a new epoch.
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        let connection = Connection::open(&self.options.target, self.options.pooled, None).await?;
        migrate::check(&connection).await?;
        let now = (self.options.clock)();
        let (store_state, lineage) = store::inspect(&connection, &self.shared.floor(), now).await?;
        self.shared.adopt(&lineage);
        self.shared.note(&store_state);
        Ok(connection.with_inspection(store_state.head.epoch, lineage))
    }

    /// Looks for a primary on a later timeline behind the address.
    pub(crate) async fn look(&self) -> Result<(), Error> {
        let connection = Connection::open(&self.options.target, self.options.pooled, None).await?;
        if let Some(lineage) = host_watch::lineage(&connection).await? {
            self.shared.discover(&lineage);
        }
        Ok(())
    }

    /// Whether a connection is reusable: it works, was inspected in the current epoch, and leads to
    /// the newest primary.
    pub(crate) fn is_good(&self, connection: &Connection) -> bool {
        let current = |(epoch, lineage): &(i64, Lineage)| {
            *epoch == self.shared.floor().epoch && !self.shared.is_deposed(lineage)
        };
        connection.is_usable() && connection.inspected().is_some_and(current)
    }
}

impl Manager for Connector {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        self.connect().await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        if self.is_good(connection) {
            Ok(())
        } else {
            Err(RecycleError::message("used up"))
        }
    }
}

impl Pool {
    /// Creates a pool of at most `size` connections; callers wait at most `wait` for one.
    pub(crate) fn new(connector: Connector, size: usize, wait: Duration) -> Result<Self, Error> {
        let shared = connector.shared.clone();
        let timeouts = Timeouts {
            wait: Some(wait),
            // Time for connecting and for inspecting the server, which may begin an epoch.
            create: Some(CONNECT_TIMEOUT * 2),
            recycle: None,
        };
        let connections = Managed::builder(connector)
            .max_size(size)
            .timeouts(timeouts)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Refused(error.to_string()))?;
        Ok(Self {
            connections,
            shared,
        })
    }

    /// Acquires a connection.
    pub(crate) async fn get(&self) -> Result<PooledConnection, Error> {
        let getting = self.connections.get();
        tokio::pin!(getting);
        let got = loop {
            tokio::select! {
                got = &mut getting => break got,
                // Fail early during an outage, when no other caller will return a connection soon.
                () = sleep(POLL_INTERVAL) => if self.shared.in_outage() {
                    return Err(self.shared.no_connection());
                },
            }
        };
        got.map(|pooled| PooledConnection(Some(pooled)))
            .map_err(|error| match error {
                PoolError::Backend(error) => error,
                PoolError::Timeout(TimeoutType::Wait) => self.shared.no_connection(),
                PoolError::Closed => Error::Unreachable("the driver is shutting down".to_owned()),
                other => Error::Unreachable(other.to_string()),
            })
    }

    /// Closes every connection.
    pub(crate) fn close(&self) {
        self.connections.close();
    }
}
