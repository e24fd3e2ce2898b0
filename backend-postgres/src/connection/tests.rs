//! Tests of notices that accompany responses, in the server's language.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Connection;
use crate::error::Error;
use crate::options::Options;

/// Encodes a message of the server.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// Encodes a notice of a server with German messages.
fn notice(local: &str, severity: &str) -> Vec<u8> {
    let body = format!("S{local}\0V{severity}\0C01000\0Mstorniere Warten\0\0");
    message(b'N', body.as_bytes())
}

/// Encodes the response to SHOW: off.
fn off() -> Vec<u8> {
    let column = [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0,
    ];
    let columns = [&[0, 1][..], b"transaction_read_only\0", &column].concat();
    let row = message(b'D', b"\0\x01\0\0\0\x03off");
    [message(b'T', &columns), row].concat()
}

/// Serves one client: every statement succeeds, and every COMMIT sends the notice.
async fn serve(mut client: TcpStream, notice: Vec<u8>) -> std::io::Result<()> {
    let ready = message(b'Z', b"I");
    let length = client.read_u32().await?;
    client.read_exact(&mut vec![0; length as usize - 4]).await?;
    let let_in = message(b'R', &[0, 0, 0, 0]);
    client.write_all(&[let_in, ready.clone()].concat()).await?;
    loop {
        let _kind = client.read_u8().await?;
        let mut text = vec![0; client.read_u32().await? as usize - 4];
        client.read_exact(&mut text).await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut response = Vec::new();
        if text.starts_with("SHOW") {
            response.extend(off());
        }
        if text.contains("COMMIT") {
            response.extend(&notice);
        }
        response.extend(message(b'C', b"DONE\0"));
        response.extend(&ready);
        client.write_all(&response).await?;
    }
}

/// Commits on a server that sends the notice; returns the result.
async fn commit(notice: Vec<u8>) -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let dsn = format!("host=127.0.0.1 port={port} user=ark dbname=ark sslmode=disable");
    let target = Options::from_dsn(&dsn).expect("a DSN").target;
    let served = async {
        let (client, _) = listener.accept().await.expect("a client");
        // Ends with the client.
        let _ = serve(client, notice).await;
    };
    let committed = async {
        let connection = Connection::open(&target, false, None).await?;
        connection.commit(Duration::from_secs(30)).await
    };
    tokio::select! {
        committed = committed => committed,
        () = served => Err(Error::Corrupt("the server left".to_owned())),
    }
}

#[tokio::test]
async fn commit_without_standbys_is_detected_in_any_server_language() {
    let committed = commit(notice("WARNUNG", "WARNING")).await;
    let error = committed.expect_err("only local");
    let message_text = error.to_string();
    assert!(
        message_text.contains("did not reach the standbys"),
        "{message_text}"
    );
    commit(notice("HINWEIS", "NOTICE")).await.expect("durable");
}
