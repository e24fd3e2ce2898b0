//! Tests of a server that stops immediately, or is killed, and restarts, under load.

use postgres_testkit::{Server, Stop};

use crate::load::{RECOVERY, SIZE, finish_soak, soak, store};

const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_survives_five_immediate_stops() {
    let (mut server, _, sidecars) = store(Server::builder(), 2).await;
    let soak = soak(&sidecars, 22, SIZE).await;
    for _ in 0..ROUNDS {
        soak.progress(60, RECOVERY).await.expect("the load goes on");
        server.stop(Stop::Immediate).await.expect("stopped");
        server.start_again().await.expect("started");
    }
    soak.progress(60, RECOVERY).await.expect("the load goes on");
    finish_soak("5 immediate stops", soak, sidecars).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_survives_five_server_kills() {
    // The server's default would lose the commits of the last seconds; the driver's sessions
    // override it.
    let builder = Server::builder()
        .fsync(true)
        .setting("synchronous_commit", "off")
        .setting("wal_writer_delay", "10s");
    let (mut server, _, sidecars) = store(builder, 3).await;
    let soak = soak(&sidecars, 23, SIZE).await;
    for _ in 0..ROUNDS {
        soak.progress(60, RECOVERY).await.expect("the load goes on");
        server.kill9().await.expect("killed");
        server.start_again().await.expect("started");
    }
    soak.progress(60, RECOVERY).await.expect("the load goes on");
    finish_soak("5 kills of the server", soak, sidecars).await;
}
