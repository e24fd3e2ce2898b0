//! Tests of several hosts with a dead one: a machine without power does not respond at all.

use postgres_testkit::{Mode, Proxy, Server};

use crate::calls::{create, get, list};
use crate::retry_budget::TERMINATE;
use crate::sidecar_of::Sidecar;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unresponsive_first_host_is_skipped() {
    let server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let dead = Proxy::start(server.address()).await.expect("a proxy");
    let address = server.address().to_string();
    let both = dsn.replacen(&address, &format!("{},{address}", dead.address()), 1);
    dead.set(Mode::Hang).await.expect("dead");
    let sidecar = Sidecar::start(&["--dsn", &both]).await;
    let endpoint = &sidecar.endpoint;
    create(endpoint, "a").await.expect("written");
    get(endpoint, "a").await.expect("read");
    list(endpoint).await.expect("listed");
    // Replace every connection.
    server.execute("ark", TERMINATE).await.expect("terminated");
    create(endpoint, "b").await.expect("written");
    get(endpoint, "b").await.expect("read");
    sidecar.stop().await;
}
