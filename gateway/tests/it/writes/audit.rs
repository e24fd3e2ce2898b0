//! One audit ID identifies a request in the response and in the logs of both sides.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use conformance::{ModelDriver, Served};
use gateway::admission::Chain;
use parking_lot::Mutex;

use super::server::{Running, thing};
use crate::faulty_driver::FaultyDriver;

/// Log lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_id_of_slow_write_is_in_response_and_both_logs() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // Process-wide, because the enabled spans are cached for all threads.
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    let folder = tempfile::tempdir().expect("a directory");
    let socket = folder.path().join("s");
    let driver = FaultyDriver {
        commit_delay: Some(Duration::from_millis(1_200)),
        ..FaultyDriver::new(ModelDriver::new())
    };
    let served = Served::at(&socket, Arc::new(driver)).await;
    let served = served.expect("a socket");
    let endpoint = format!("unix://{}", socket.display());
    let running = Running::at(&endpoint, Chain::default()).await;
    let server = running.server().clone();
    let response = server.send_as("0123-4567", "POST things", thing("x", 1));
    let response = response.await;
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["Audit-ID"], "0123-4567");
    let lines = String::from_utf8(lines.0.lock().clone()).expect("text");
    let mut ours = lines.lines().filter(|line| line.contains("0123-4567"));
    let mut line = |what: &str| ours.find(|line| line.contains(what));
    let driver = line("slow write").expect(&lines);
    assert!(driver.contains("audit_ids=\"0123-4567\""), "{driver}");
    let gateway = line("slow request").expect(&lines);
    for part in [
        "audit_id=\"0123-4567\"",
        "verb=\"create\"",
        "resource=\"things\"",
        "namespace=\"a\"",
        "user=\"ark-admin\"",
        "code=201",
    ] {
        assert!(gateway.contains(part), "{part}: {gateway}");
    }
    drop(running);
    served.stop().await.expect("served");
}
