//! Tests of the start of watches while the store changes.

use std::sync::Arc;

use backend_proto::v1::watch_response::Body;
use backend_proto::v1::{WatchRequest, WatchResponse};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{AHEAD, Source, Watch};
use crate::connection::Connection;
use crate::driver::DriverHealth;
use crate::fanout::Fanout;
use crate::log_follower::tests::Others;
use crate::metrics::Metrics;
use crate::reader::channel;
use crate::streams::Streams;

#[tokio::test]
async fn watch_of_unpublished_epoch_gets_no_events_of_the_last() {
    let others = Arc::new(Others::default());
    let fanout = Arc::new(Fanout::new(others.move_to(1, 10, 0)));
    let started = others.move_to(2, 1 << 41, 1 << 41);
    for start_revision in [0, 1 << 41] {
        let source = Source {
            driver: others.clone(),
            fanout: fanout.clone(),
            health: watch::Sender::new(DriverHealth::Ready).subscribe(),
            metrics: Metrics::new(),
            stop: CancellationToken::new(),
        };
        let request = WatchRequest {
            start_revision,
            progress_interval_ms: 1,
            ..WatchRequest::default()
        };
        let watch = Watch::start(source, request).await.expect("registered");
        let (sink, mut messages) =
            channel::<WatchResponse>(&Streams::new(), Connection::default(), AHEAD)
                .expect("a stream");
        let read = async {
            for _ in 0..2 {
                let message = messages.next().await.expect("open").expect("no error");
                assert_eq!(message.header.as_ref(), Some(&started));
                assert_eq!(message.through_revision, 1 << 41);
                assert!(!matches!(message.body, Some(Body::Events(_))));
            }
        };
        tokio::select! {
            () = read => {}
            () = watch.run(sink) => panic!("a watch ended"),
        }
    }
}
