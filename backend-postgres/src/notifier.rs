//! Sends and receives NOTIFY between sidecars, after each commit, on a dedicated connection.
//!
//! A notification carries no data and may be lost, because sidecars also poll the log. It is sent
//! after the commit and in a transaction that is not flushed: the server holds a cluster-wide lock
//! from NOTIFY to the end of its commit.

use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
use crate::options::Target;
use crate::shared::Shared;

const LISTEN: &str = "SET synchronous_commit = off; LISTEN ark";

/// Backoff before reconnecting: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Interval of checking an idle connection for a close, which costs no message. TCP keepalives
/// detect a dead peer.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

static RING: Statement = Statement {
    text: "SELECT pg_notify('ark', $1)",
    types: &[Type::TEXT],
};

/// Sends and receives notifications until shutdown.
pub(crate) async fn run(
    target: Target,
    shared: Arc<Shared>,
    hints: Arc<Notify>,
    mut revisions: watch::Receiver<i64>,
    stop: CancellationToken,
) {
    let mut pauses = backoff();
    loop {
        let error = match Connection::open(&target, false, Some(hints.clone())).await {
            Ok(connection) => {
                tracing::debug!("listening for notifications of other sidecars");
                pauses = backoff();
                // Notifications during the outage were lost, so read the log once.
                hints.notify_one();
                tokio::select! {
                    () = stop.cancelled() => return,
                    error = serve(&connection, &shared, &mut revisions) => error,
                }
            }
            Err(error) => error,
        };
        tracing::info!(%error, "lost the notification connection: polling for changes of other sidecars until it is back");
        tokio::select! {
            () = stop.cancelled() => return,
            () = pauses.pause() => {}
        }
    }
}

fn backoff() -> Backoff {
    Backoff::new(FIRST_PAUSE, LAST_PAUSE)
}

/// Sends NOTIFY on each new revision; coalesces revisions that arrive meanwhile.
async fn serve(
    connection: &Connection,
    shared: &Shared,
    revisions: &mut watch::Receiver<i64>,
) -> Error {
    let epoch = shared.floor().epoch;
    let mut rung = 0;
    if let Err(error) = connection.simple(LISTEN, READ_TIMEOUT).await {
        return error;
    }
    loop {
        tokio::select! {
            changed = revisions.changed() => if changed.is_err() {
                // The sender is dropped when the driver closes, which then cancels this task.
                std::future::pending::<()>().await;
            },
            () = sleep(POLL_INTERVAL) => {}
        }
        if !connection.is_usable() {
            return Error::Lost("connection closed".to_owned());
        }
        if shared.floor().epoch != epoch {
            // Reconnect: this server may be an old primary without other listeners.
            return Error::Lost("a new epoch began".to_owned());
        }
        let newest = *revisions.borrow_and_update();
        if newest == rung {
            continue;
        }
        if let Err(error) = connection
            .query(&RING, &[&newest.to_string()], READ_TIMEOUT)
            .await
        {
            return error;
        }
        rung = newest;
    }
}
