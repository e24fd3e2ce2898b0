//! Tests of a pooler.

use postgres_testkit::{PoolMode, Pooler, Proxy, Server, Session};

async fn backend(session: &Session) -> String {
    let requested = session.text("select pg_backend_pid()").await;
    requested.expect("an answer").expect("a row")
}

#[tokio::test]
async fn session_state_is_shared_only_in_transaction_mode() {
    let server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    for (mode, shared) in [(PoolMode::Session, false), (PoolMode::Transaction, true)] {
        let pooler = Pooler::start(&server, mode).await.expect("a pooler");
        let one = Session::connect(&pooler.dsn("ark"))
            .await
            .expect("a session");
        let first = backend(&one).await;
        let other = Session::connect(&pooler.dsn("ark"))
            .await
            .expect("a session");
        assert_eq!(backend(&other).await == first, shared, "{mode:?}");
        let address = pooler.address();
        drop(pooler);
        assert!(std::net::TcpStream::connect(address).is_err(), "it is gone");
    }
    assert!(Session::connect(&dsn).await.is_ok(), "the server is not");
}

#[tokio::test]
async fn pooler_passes_passwords_and_works_behind_proxy() {
    let server = Server::builder()
        .user("ann", "secret")
        .start()
        .await
        .expect("a server");
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let mode = PoolMode::Transaction;
    let pooler = Pooler::start_at(proxy.address(), &server, mode)
        .await
        .expect("a pooler");
    let dsn = pooler.dsn("postgres").replacen("postgres@", "ann@", 1);
    let session = Session::connect(&dsn).await.expect("a session");
    let who = session
        .text("select current_user")
        .await
        .expect("an answer");
    assert_eq!(who.as_deref(), Some("ann"));
}
