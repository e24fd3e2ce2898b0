//! Tests of the proxy in front of an echo server.

use std::time::{Duration, Instant};

use postgres_testkit::{Mode, Proxy, Server, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Long enough to establish that nothing arrives.
const SILENCE: Duration = Duration::from_millis(150);
/// Timeout of an expected event.
const SOON: Duration = Duration::from_secs(10);

/// An echo server behind a proxy.
struct Echo {
    proxy: Proxy,
    _tasks: JoinSet<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            loop {
                let (mut socket, _) = listener.accept().await.expect("a client");
                clients.spawn(async move {
                    let (mut from, mut to) = socket.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let proxy = Proxy::start(address).await.expect("a proxy");
        Self {
            proxy,
            _tasks: tasks,
        }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.proxy.address())
            .await
            .expect("a connection")
    }

    async fn set(&self, mode: Mode) {
        self.proxy.set(mode).await.expect("a mode");
    }
}

async fn ask(client: &mut TcpStream) {
    client.write_all(b"x").await.expect("a write");
}

async fn answered(client: &mut TcpStream) {
    let response = timeout(SOON, client.read_u8()).await.expect("in time");
    assert_eq!(response.expect("an answer"), b'x');
}

async fn silent(client: &mut TcpStream) {
    assert!(
        timeout(SILENCE, client.read_u8()).await.is_err(),
        "nothing moves"
    );
}

async fn closed(client: &mut TcpStream) {
    assert!(
        timeout(SOON, client.read_u8())
            .await
            .expect("in time")
            .is_err()
    );
}

#[tokio::test]
async fn hang_mode_keeps_connections_and_resumes() {
    let echo = Echo::start().await;
    let mut old = echo.client().await;
    ask(&mut old).await;
    answered(&mut old).await;
    echo.set(Mode::Hang).await;
    let mut new = echo.client().await;
    for client in [&mut old, &mut new] {
        ask(client).await;
        silent(client).await;
    }
    echo.set(Mode::Forward).await;
    for client in [&mut old, &mut new] {
        answered(client).await;
    }
}

#[tokio::test]
async fn refuse_mode_closes_and_refuses_connections() {
    let echo = Echo::start().await;
    let mut client = echo.client().await;
    ask(&mut client).await;
    answered(&mut client).await;
    echo.set(Mode::Refuse).await;
    closed(&mut client).await;
    let rejected = TcpStream::connect(echo.proxy.address())
        .await
        .expect_err("an error");
    assert_eq!(rejected.kind(), std::io::ErrorKind::ConnectionRefused);
    echo.set(Mode::Forward).await;
    let mut client = echo.client().await;
    ask(&mut client).await;
    answered(&mut client).await;
}

#[tokio::test]
async fn cut_mode_closes_connections_once() {
    let echo = Echo::start().await;
    for before in [Mode::Forward, Mode::Hang] {
        echo.set(before).await;
        let mut client = echo.client().await;
        ask(&mut client).await;
        if before == Mode::Hang {
            silent(&mut client).await;
        } else {
            answered(&mut client).await;
        }
        echo.set(Mode::Cut).await;
        closed(&mut client).await;
        let mut client = echo.client().await;
        ask(&mut client).await;
        answered(&mut client).await;
    }
}

#[tokio::test]
async fn delay_mode_delays_both_directions() {
    let echo = Echo::start().await;
    let (min, max) = (Duration::from_millis(40), Duration::from_millis(60));
    echo.set(Mode::Delay { min, max }).await;
    let mut client = echo.client().await;
    let begin = Instant::now();
    ask(&mut client).await;
    answered(&mut client).await;
    assert!(begin.elapsed() >= min * 2, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn half_close_is_forwarded_and_drop_closes() {
    let echo = Echo::start().await;
    let mut client = echo.client().await;
    ask(&mut client).await;
    client.shutdown().await.expect("an end");
    let mut rest = Vec::new();
    timeout(SOON, client.read_to_end(&mut rest))
        .await
        .expect("in time")
        .expect("the rest");
    assert_eq!(rest, b"x");

    let mut client = echo.client().await;
    ask(&mut client).await;
    answered(&mut client).await;
    let address = echo.proxy.address();
    echo.proxy.stop().await;
    closed(&mut client).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn moved_proxy_forwards_to_another_database() {
    let one = Server::builder().start().await.expect("a server");
    let other = Server::builder().start().await.expect("a server");
    let proxy = Proxy::start(one.address()).await.expect("a proxy");
    let dsn = proxy.dsn(&one.dsn("postgres"));
    for server in [&one, &other] {
        proxy.move_to(server.address());
        let session = Session::connect(&dsn).await.expect("a session");
        let port = session.text("show port").await.expect("an answer");
        assert_eq!(port, Some(server.port().to_string()));
    }
}
