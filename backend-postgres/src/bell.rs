//! Hints between sidecars: a notification after each commit, on a connection of its own.
//!
//! It carries no data and may be lost: the log is polled as well. It is sent after the commit and in
//! a transaction that is not flushed, because the server holds a lock of the whole cluster from
//! NOTIFY to the end of its commit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::connection::{ANSWER, Connection, Statement};
use crate::error::Error;
use crate::options::Target;
use crate::shared::Shared;

const LISTEN: &str = "SET synchronous_commit = off; LISTEN ark";

/// Pauses before a new connection: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// How often a silent connection is looked at, which costs no message. A dead one is noticed by the
/// system's keepalives.
const LOOK: Duration = Duration::from_secs(1);

static RING: Statement = Statement {
    text: "SELECT pg_notify('ark', $1)",
    types: &[Type::TEXT],
};

/// Rings and listens until told to stop.
pub(crate) async fn run(
    target: Target,
    shared: Arc<Shared>,
    hints: Arc<Notify>,
    mut told: watch::Receiver<i64>,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match Connection::open(&target, false, Some(hints.clone())).await {
            Ok(connection) => {
                tracing::debug!("listening for changes of other sidecars");
                pause = FIRST_PAUSE;
                // Whatever happened meanwhile was not heard.
                hints.notify_one();
                tokio::select! {
                    () = stop.cancelled() => return,
                    error = serve(&connection, &shared, &mut told) => error,
                }
            }
            Err(error) => error,
        };
        tracing::info!(%error, "changes of other sidecars are polled for until they can be heard again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(pause) => pause = (pause * 2).min(LAST_PAUSE),
        }
    }
}

/// Rings for each news; what comes while one is sent is told with the next.
async fn serve(connection: &Connection, shared: &Shared, told: &mut watch::Receiver<i64>) -> Error {
    let epoch = shared.floor().epoch;
    let mut rung = 0;
    if let Err(error) = connection.simple(LISTEN, ANSWER).await {
        return error;
    }
    loop {
        tokio::select! {
            changed = told.changed() => if changed.is_err() {
                // The driver is closing; it stops us.
                std::future::pending::<()>().await;
            },
            () = sleep(LOOK) => {}
        }
        if !connection.is_usable() {
            return Error::Lost("connection closed".to_owned());
        }
        if shared.floor().epoch != epoch {
            // This may be an old primary, where nobody else listens any more.
            return Error::Lost("a new epoch began".to_owned());
        }
        let newest = *told.borrow_and_update();
        if newest == rung {
            continue;
        }
        if let Err(error) = connection
            .query(&RING, &[&newest.to_string()], ANSWER)
            .await
        {
            return error;
        }
        rung = newest;
    }
}
