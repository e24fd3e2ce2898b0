//! Measures the time from a change on one sidecar to a watcher on another.

use std::time::{Duration, Instant};

use backend_proto::v1::op::Action;
use postgres_testkit::Server;

use crate::log::{op, reach, watch, write};
use crate::sidecar_of::Sidecar;

const WRITES: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_reaches_watcher_on_another_sidecar_soon() {
    let server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let (here, there) = (
        Sidecar::start(&["--dsn", &dsn]).await,
        Sidecar::start(&["--dsn", &dsn]).await,
    );
    write(&here.endpoint, op(Action::Create, "a", "0")).await;
    let mut stream = watch(&there.endpoint, 0).await;
    let mut took = Vec::with_capacity(WRITES);
    for number in 0..WRITES {
        let update = op(Action::Update, "a", &format!("v{number}"));
        let revision = write(&here.endpoint, update).await;
        let acknowledged = Instant::now();
        reach(&mut stream, revision).await;
        took.push(acknowledged.elapsed());
    }
    took.sort_unstable();
    let (half, most) = (took[WRITES / 2], took[WRITES * 99 / 100]);
    println!("from the answer to a watcher elsewhere: p50 {half:?}, p99 {most:?}");
    assert!(most < Duration::from_secs(1), "{most:?}");
    here.stop().await;
    there.stop().await;
}
