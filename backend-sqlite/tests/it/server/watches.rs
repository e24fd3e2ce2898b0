//! Tests of watches over gRPC.

use backend_proto::error::from_status;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::op::Action;
use backend_proto::v1::watch_response::Body;
use backend_proto::v1::{CompactRequest, Range, WatchRequest, WatchResponse};
use tonic::Streaming;

use crate::server::program::{Program, create, op, watch, write};

/// Returns the revisions up to `last`, with a check of progress messages.
async fn revisions(stream: &mut Streaming<WatchResponse>, last: i64) -> Vec<i64> {
    let mut observed = Vec::new();
    loop {
        let response = stream.message().await.expect("watch").expect("open");
        if let Some(Body::Events(batch)) = response.body {
            observed.extend(batch.events.iter().map(|event| event.revision));
        }
        assert!(
            observed
                .last()
                .is_none_or(|observed| *observed <= response.through_revision)
        );
        if response.through_revision >= last {
            return observed;
        }
    }
}

#[tokio::test]
async fn watch_returns_changes_after_start_once_and_in_order() {
    let mut program = Program::new();
    let client = program.start().await;
    let first = create(&client, "a").await;
    let mut from_now = watch(&client, 0).await.expect("watch");
    let mut early = watch(&client, first).await.expect("watch");
    let mut history = watch(&client, first - 1).await.expect("watch");
    for number in 0..500 {
        create(&client, &format!("n{number}")).await;
    }
    let last = first + 500;
    let after: Vec<i64> = (first + 1..=last).collect();
    assert_eq!(revisions(&mut early, last).await, after);
    assert_eq!(revisions(&mut from_now, last).await, after);
    assert_eq!(
        revisions(&mut history, last).await,
        (first..=last).collect::<Vec<_>>()
    );
    // After a restart the ring is empty: the watch reads the log.
    program.kill();
    let client = program.start().await;
    let mut resumed = watch(&client, first).await.expect("watch");
    assert_eq!(revisions(&mut resumed, last).await, after);
}

#[tokio::test]
async fn watch_starts_outside_history_are_rejected_with_bounds() {
    let mut program = Program::new();
    let client = program.start().await;
    create(&client, "a").await;
    let compact = create(&client, "b").await;
    let (deleted, _) = write(&client, op(Action::Delete, "a", ""))
        .await
        .expect("deleted");
    let request = CompactRequest { revision: compact };
    client.clone().compact(request).await.expect("compact");

    let status = watch(&client, compact - 1).await.expect_err("compacted");
    let error = from_status(&status).expect("typed");
    assert_eq!(
        (error.reason(), error.compact_revision),
        (Reason::Compacted, compact)
    );
    let status = watch(&client, deleted + 1).await.expect_err("future");
    let error = from_status(&status).expect("typed");
    assert_eq!(
        (error.reason(), error.current_revision),
        (Reason::FutureRevision, deleted)
    );
    // A watch from the compact revision still gets the next change.
    let mut stream = watch(&client, compact).await.expect("watch");
    assert_eq!(revisions(&mut stream, deleted).await, [deleted]);
}

#[tokio::test]
async fn ranged_watch_returns_own_events_and_progress_over_others() {
    let mut program = Program::new();
    let client = program.start().await;
    let first = create(&client, "a").await;
    let range = |name: &str| Range {
        group: "ark.mckinsey.com".to_owned(),
        resource: "queries".to_owned(),
        namespace: Some("default".to_owned()),
        name: Some(name.to_owned()),
    };
    let request = WatchRequest {
        ranges: vec![range("b"), range("c"), range("b")],
        start_revision: first,
        progress_interval_ms: 50,
    };
    let mut stream = client
        .clone()
        .watch(request)
        .await
        .expect("watch")
        .into_inner();
    for name in ["x", "b", "y", "c", "z"] {
        create(&client, name).await;
    }
    let observed = revisions(&mut stream, first + 5).await;
    assert_eq!(observed, [first + 2, first + 4]);
}
