//! Responses to writes that are large or have an unknown outcome.

use std::sync::Arc;
use std::time::Duration;

use backend_proto::error::{BackendError, Outcome, Reason};
use conformance::{ModelDriver, Served};
use futures_util::future::join_all;
use gateway::backend::{Backend, Verdict};
use gateway::store::{Action, Index, ObjectKey, ResourceId, WriteOp, WriteOutcome};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::server::{TestServer, thing};
use crate::fake::faults::backend_error;

const MIB: usize = 1 << 20;

/// An operation on the n-th record.
fn op(at: usize, action: Action) -> WriteOp {
    WriteOp {
        resource: ResourceId::new("example.com", "things"),
        key: ObjectKey::new("a", &format!("t{at}")),
        action,
        expected: None,
        origin: Arc::default(),
    }
}

// On one thread, so that all concurrent operations join the same call.
#[tokio::test]
async fn concurrent_large_deletes_report_success() {
    // More than the largest message holds.
    let count = backend_proto::limits::MAX_MESSAGE_BYTES / MIB + 16;
    let folder = tempfile::tempdir().expect("a directory");
    let socket = folder.path().join("s");
    let served = Served::at(&socket, Arc::new(ModelDriver::new())).await;
    let served = served.expect("a socket");
    let endpoint = format!("unix://{}", socket.display());
    let endpoint = endpoint.parse().expect("an endpoint");
    let (backend, tasks) = Backend::new(&endpoint);
    let (mut running, cancel) = (JoinSet::new(), CancellationToken::new());
    running.spawn(tasks.run(cancel.clone()));
    backend.admit(&backend.describe().await.expect("described").header);
    // With known and unknown sizes.
    for found in [MIB, 0] {
        let creates = (0..count).map(|at| {
            let create = Action::Create {
                value: vec![b'v'; MIB].into(),
                index: Index::default(),
            };
            backend.write(op(at, create), 0)
        });
        for created in join_all(creates).await {
            assert!(matches!(created, Ok(Verdict::Applied { .. })));
        }
        let deletes = (0..count).map(|at| backend.write(op(at, Action::Delete), found));
        for deleted in join_all(deletes).await {
            assert!(matches!(deleted, Ok(Verdict::Applied { .. })));
        }
    }
    cancel.cancel();
    while running.join_next().await.is_some() {}
    drop(backend);
    served.stop().await.expect("served");
}

#[tokio::test]
async fn batches_of_large_objects_are_small() {
    let server = TestServer::new().await;
    let text = "t".repeat(MIB);
    let keys: Vec<_> = (0..40).map(|at| format!("a/t{at}")).collect();
    for key in &keys {
        server.put(key, 1, &text).await;
    }
    // The objects are then in the cache, with their sizes.
    let listed = server
        .list(super::server::latest())
        .await
        .expect("listed")
        .1;
    assert_eq!(listed.len(), keys.len());
    server.fake.disk.lock().most_ops = 0;
    let deletes = keys.iter().map(|key| server.write(key, Action::Delete));
    for deleted in join_all(deletes).await {
        assert!(matches!(deleted, Ok(WriteOutcome::Applied { .. })));
    }
    let most = server.fake.disk.lock().most_ops;
    assert!((2..=8).contains(&most), "{most} large deletes in one call");
}

#[tokio::test(flavor = "multi_thread")]
async fn operation_with_unknown_outcome_is_retried() {
    let server = TestServer::new().await;
    let open = BackendError {
        outcome: Outcome::Unknown.into(),
        ..backend_error(Reason::Internal)
    };
    server
        .fake
        .fault(|faults| faults.rejected = [("x".to_owned(), open)].into());
    let ops = |server: &TestServer| server.fake.disk.lock().ops;
    let create = |key: &str| Action::Create {
        value: thing(key, 1, "red").into(),
        index: Index::default(),
    };
    let settled = async {
        // Until the operation was sent more than once.
        while ops(&server) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.fake.fault(|faults| faults.rejected.clear());
    };
    let (x, y, ()) = tokio::join!(
        server.write("a/x", create("a/x")),
        server.write("a/y", create("a/y")),
        settled
    );
    assert!(matches!(x, Ok(WriteOutcome::Applied { .. })), "{x:?}");
    assert!(matches!(y, Ok(WriteOutcome::Applied { .. })), "{y:?}");
}
