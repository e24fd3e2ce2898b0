//! Readers of streams: how long they are waited for.

use std::time::Duration;

use backend_proto::v1::BackendError;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::refuse::{closing, status, too_slow};

/// How long a reader may take nothing before it is cut.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a reader may take nothing once the kit stops.
const STOPPING: Duration = Duration::from_secs(1);

/// Messages to a reader.
pub(crate) type Sink<M> = mpsc::Sender<Result<M, Status>>;

/// Hands a message over; `false` if the reader left.
pub(crate) async fn send<M: Send>(
    sink: &Sink<M>,
    message: M,
    stop: &CancellationToken,
) -> Result<bool, BackendError> {
    tokio::select! {
        () = stop.cancelled() => Err(closing()),
        sent = timeout(PATIENCE, sink.send(Ok(message))) => match sent {
            Ok(sent) => Ok(sent.is_ok()),
            Err(_) => Err(too_slow()),
        },
    }
}

/// Tells a reader why nothing follows. It may have left already, and is not waited for forever.
pub(crate) async fn end<M: Send>(sink: &Sink<M>, error: &BackendError, stop: &CancellationToken) {
    let stopping = async {
        stop.cancelled().await;
        sleep(STOPPING).await;
    };
    tokio::select! {
        _ = timeout(PATIENCE, sink.send(Err(status(error)))) => {}
        () = stopping => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::{PATIENCE, STOPPING, Sink, end, send};
    use crate::refuse::{closing, too_slow};

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_not_waited_for_forever() {
        let (sink, _messages): (Sink<()>, _) = mpsc::channel(1);
        let stop = CancellationToken::new();
        assert_eq!(send(&sink, (), &stop).await, Ok(true));
        let begun = Instant::now();
        assert_eq!(send(&sink, (), &stop).await, Err(too_slow()));
        end(&sink, &too_slow(), &stop).await;
        assert_eq!(begun.elapsed(), PATIENCE * 2);
        stop.cancel();
        assert_eq!(send(&sink, (), &stop).await, Err(closing()));
        end(&sink, &closing(), &stop).await;
        assert_eq!(begun.elapsed(), PATIENCE * 2 + STOPPING);
    }
}
