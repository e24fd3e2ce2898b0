//! Streams lists from the driver to a client.

use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::list_response::{Chunk, Part, Trailer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::driver::{Driver, ListPart, ListQuery};
use crate::reader::Sink;
use crate::refuse::{closing, error};

/// Parts buffered between driver and client: the driver reads one ahead.
const AHEAD: usize = 1;

/// Runs one list of the driver into `sink`; `wrap` converts each part into a message, or skips it.
/// Returns the number of records sent, or `None` if the client disconnected.
pub(crate) async fn pump<M: prost::Message>(
    driver: &dyn Driver,
    query: ListQuery,
    sink: &Sink<M>,
    wrap: fn(Part) -> Option<M>,
    stop: &CancellationToken,
) -> Result<Option<i64>, BackendError> {
    let _place = sink.list().await?;
    let (sender, parts) = mpsc::channel(AHEAD);
    // Move the receiver in: when forwarding ends it is dropped, which closes the driver's sink.
    let forward = async {
        let forward = forward(parts, sink, wrap, stop);
        let stopped = || Err(closing());
        stop.run_until_cancelled(forward)
            .await
            .unwrap_or_else(stopped)
    };
    let (listed, forwarded) = futures_util::future::join(driver.list(query, sender), forward).await;
    listed?;
    forwarded
}

async fn forward<M: prost::Message>(
    mut parts: mpsc::Receiver<ListPart>,
    sink: &Sink<M>,
    wrap: fn(Part) -> Option<M>,
    stop: &CancellationToken,
) -> Result<Option<i64>, BackendError> {
    let mut count = 0;
    while let Some(part) = parts.recv().await {
        let (part, last) = match part {
            ListPart::Header(header) => (Part::Header(header), false),
            ListPart::Records(records) => {
                count += records.len() as i64;
                (Part::Chunk(Chunk { records }), false)
            }
            ListPart::End { more } => (Part::Trailer(Trailer { count, more }), true),
        };
        if let Some(message) = wrap(part)
            && !sink.send(message, None, stop).await?
        {
            return Ok(None);
        }
        if last {
            return Ok(Some(count));
        }
    }
    Err(error(
        Reason::Internal,
        "the driver ended a list without its end",
    ))
}
