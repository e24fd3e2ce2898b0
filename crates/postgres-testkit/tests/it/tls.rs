//! Tests of a server with TLS.

use postgres_testkit::{Server, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The SSLRequest message of the PostgreSQL protocol: its length, and a code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

async fn offers_tls(server: &Server) -> bool {
    let mut socket = TcpStream::connect(server.address())
        .await
        .expect("a connection");
    socket.write_all(&SSL_REQUEST).await.expect("a request");
    socket.read_u8().await.expect("an answer") == b'S'
}

#[tokio::test]
async fn server_offers_and_requires_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("crt"), folder.path().join("key"));
    std::fs::write(&certificate, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");

    let server = Server::builder()
        .tls(&certificate, &key)
        .start()
        .await
        .expect("a server");
    assert!(offers_tls(&server).await);
    assert!(
        Session::connect(&server.dsn("postgres")).await.is_ok(),
        "both ways are open"
    );

    let server = Server::builder()
        .tls_only(&certificate, &key)
        .start()
        .await
        .expect("a server");
    assert!(offers_tls(&server).await);
    let rejected = Session::connect(&server.dsn("postgres"))
        .await
        .expect_err("an error");
    assert!(rejected.to_string().contains("no encryption"), "{rejected}");
    assert!(
        server.session("postgres").await.is_ok(),
        "the kit's own way is the socket"
    );

    let server = Server::builder().start().await.expect("a server");
    assert!(!offers_tls(&server).await);
}
