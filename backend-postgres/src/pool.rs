//! Connections that are handed out and taken back. Their number is fixed: it depends neither on
//! watchers nor on requests.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{
    Manager, Metrics, Object, Pool as Managed, PoolError, RecycleError, RecycleResult, TimeoutType,
    Timeouts,
};
use tokio::time::sleep;

use crate::connect::CONNECT;
use crate::connection::Connection;
use crate::error::Error;
use crate::migrate;
use crate::options::Options;
use crate::shared::Shared;
use crate::store;

/// How often who waits for a connection looks whether there is an outage.
const LOOK: Duration = Duration::from_millis(1500);

/// A read that met a dead connection is tried on another, if that was found out this fast.
pub(crate) const SECOND_TRY: Duration = Duration::from_millis(500);

/// Runs the block with a connection of a pool, and again with another if the first turns out to be
/// dead; then takes note of how it ended. A macro, because no closure may lend its block both the
/// connection and what is around it.
macro_rules! read {
    ($driver:expr, $connection:ident => $block:block) => {{
        let begun = std::time::Instant::now();
        let mut first = true;
        let result = loop {
            let once = async {
                let lent = $driver.readers.get().await?;
                let $connection: &Connection = &lent;
                $block
            };
            match once.await {
                Err(Error::Lost(_)) if first && begun.elapsed() < crate::pool::SECOND_TRY => {
                    first = false;
                }
                result => break result,
            }
        };
        $driver.shared.judge(begun, result)
    }};
}
pub(crate) use read;

/// Makes connections to a database that was looked at.
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

/// A connection that goes back when dropped; one that cannot be used again is closed there and then,
/// because its transaction may hold locks.
pub(crate) struct Lent(Option<Object<Connector>>);

impl Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        // Taken by `drop` alone.
        self.0
            .as_ref()
            .unwrap_or_else(|| unreachable!("a connection that was given back"))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(lent) = self.0.take_if(|lent| !lent.is_usable()) {
            drop(Object::take(lent));
        }
    }
}

impl Connector {
    pub(crate) fn new(options: Arc<Options>, shared: Arc<Shared>) -> Self {
        Self { options, shared }
    }

    /// A new connection to a server whose store lacks nothing that was seen, or began a new epoch.
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        let connection = Connection::open(&self.options.target, self.options.pooled, None).await?;
        migrate::check(&connection).await?;
        let now = (self.options.clock)();
        let stand = store::inspect(&connection, &self.shared.floor(), now).await?;
        self.shared.note(&stand);
        Ok(connection.looked_at(stand.head.epoch))
    }

    /// Whether a connection may be used again: it works, and is of the epoch that we are in.
    pub(crate) fn is_good(&self, connection: &Connection) -> bool {
        connection.is_usable() && connection.epoch() == self.shared.floor().epoch
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
    /// At most `size` connections; callers wait for one for at most `wait`.
    pub(crate) fn new(connector: Connector, size: usize, wait: Duration) -> Result<Self, Error> {
        let shared = connector.shared.clone();
        let timeouts = Timeouts {
            wait: Some(wait),
            // Connecting, looking, and perhaps beginning an epoch.
            create: Some(CONNECT * 2),
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

    /// Takes a connection.
    pub(crate) async fn get(&self) -> Result<Lent, Error> {
        let getting = self.connections.get();
        tokio::pin!(getting);
        let got = loop {
            tokio::select! {
                got = &mut getting => break got,
                // Who waits for others to end does not wait for an outage to end.
                () = sleep(LOOK) => if self.shared.in_trouble() {
                    return Err(self.shared.no_room());
                },
            }
        };
        got.map(|lent| Lent(Some(lent)))
            .map_err(|error| match error {
                PoolError::Backend(error) => error,
                PoolError::Timeout(TimeoutType::Wait) => self.shared.no_room(),
                PoolError::Closed => Error::Unreachable("the driver is shutting down".to_owned()),
                other => Error::Unreachable(other.to_string()),
            })
    }

    /// Closes every connection.
    pub(crate) fn close(&self) {
        self.connections.close();
    }
}
