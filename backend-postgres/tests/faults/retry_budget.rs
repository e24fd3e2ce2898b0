//! Tests of outages within the driver's retry budget: writers get no errors.

use std::time::{Duration, Instant};

use postgres_testkit::{Server, Session, Stop};

use crate::calls::{create, current, until};
use crate::load::{RECOVERY, SIZE, finish_soak, soak, store};
use crate::sidecar_of::Sidecar;

/// Terminates all sessions of drivers.
pub(crate) const TERMINATE: &str = "select pg_terminate_backend(pid) from pg_stat_activity \
                         where application_name = 'backend-postgres'";

/// Duration of an outage that the test controls; the driver's retry budget is 3 s.
const SHORT: Duration = Duration::from_millis(800);

/// Maximum duration of an outage that leaves time to reconnect within the budget on busy machines.
const QUICK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quick_restart_causes_no_write_errors() {
    for _ in 0..3 {
        let (longest, write_errors) = restarts().await;
        if write_errors.is_empty() {
            return;
        }
        // A slow restart proves nothing: errors are permitted then.
        assert!(longest > QUICK, "{write_errors:?} after {longest:?}");
    }
}

/// Restarts the server three times under load; returns the longest downtime and the writers'
/// errors.
async fn restarts() -> (Duration, Vec<String>) {
    let (mut server, _, sidecars) = store(Server::builder(), 2).await;
    let soak = soak(&sidecars, 25, SIZE).await;
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        soak.progress(60, RECOVERY).await.expect("the load goes on");
        let started = Instant::now();
        server.stop(Stop::Fast).await.expect("stopped");
        server.start_again().await.expect("started");
        longest = longest.max(started.elapsed());
    }
    soak.progress(60, RECOVERY).await.expect("the load goes on");
    let report = finish_soak("3 quick restarts", soak, sidecars).await;
    let errors = report.errors.into_keys();
    let write_errors = errors.filter(|call| call.starts_with("write"));
    (longest, write_errors.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn driver_waits_for_free_connection_slots() {
    let builder = Server::builder()
        .setting("max_connections", "20")
        .setting("superuser_reserved_connections", "3")
        .user("ark", "hush")
        .user("guest", "hush");
    let server = builder.start().await.expect("a server");
    server.create_database("ark").await.expect("a database");
    server
        .execute("ark", "grant create on database ark to ark")
        .await
        .expect("granted");
    let dsn = server.user_dsn("ark", "ark").expect("a user");
    let sidecar = Sidecar::start(&["--dsn", &dsn]).await;
    create(&sidecar.endpoint, "before").await.expect("written");
    let guests = fill(&server).await;
    assert!(!guests.is_empty(), "the server was full before");
    let session = server.session("ark").await.expect("a reserved connection");
    // The budget counts from the last response.
    current(&sidecar.endpoint).await.expect("an answer");
    session.batch_execute(TERMINATE).await.expect("terminated");
    let guests_too = fill(&server).await;
    let (written, ()) = tokio::join!(create(&sidecar.endpoint, "meanwhile"), async {
        tokio::time::sleep(SHORT).await;
        drop(guests);
        drop(guests_too);
    });
    written.expect("written when there is room again");
    sidecar.stop().await;
}

/// Takes all connection slots of ordinary users.
async fn fill(server: &Server) -> Vec<Session> {
    let dsn = server.user_dsn("guest", "ark").expect("a user");
    let mut guests = Vec::new();
    while let Ok(guest) = Session::connect(&dsn).await {
        guests.push(guest);
    }
    guests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_password_file_is_read_again() {
    let server = Server::builder()
        .user("ark", "first")
        .start()
        .await
        .expect("a server");
    server.create_database("ark").await.expect("a database");
    server
        .execute("ark", "grant create on database ark to ark")
        .await
        .expect("granted");
    let folder = tempfile::tempdir().expect("temporary directory");
    let file = folder.path().join("password");
    std::fs::write(&file, "first\n").expect("a file");
    let path = file.display().to_string();
    let port = server.port().to_string();
    let place = [
        "--host",
        server.host(),
        "--port",
        &port,
        "--database",
        "ark",
    ];
    let login = ["--username", "ark", "--password-file", &path];
    let sidecar = Sidecar::start(&[&place[..], &login].concat()).await;
    create(&sidecar.endpoint, "before").await.expect("written");
    let session = server.session("ark").await.expect("a session");
    let change = |to: &str| format!("alter role ark password '{to}'");
    session
        .batch_execute(&change("second"))
        .await
        .expect("changed");
    std::fs::write(&file, "second").expect("a file");
    session.batch_execute(TERMINATE).await.expect("terminated");
    create(&sidecar.endpoint, "after")
        .await
        .expect("written with the new one");
    // A wrong password is reported, without quoting it, and the file is read again.
    session
        .batch_execute(&change("third"))
        .await
        .expect("changed");
    session.batch_execute(TERMINATE).await.expect("terminated");
    let error = create(&sidecar.endpoint, "wrong")
        .await
        .expect_err("turned away");
    assert!(
        error.message.contains("password authentication failed"),
        "{}",
        error.message
    );
    assert!(!error.message.contains("second"), "{}", error.message);
    std::fs::write(&file, "third").expect("a file");
    until("the new password", RECOVERY, async || {
        create(&sidecar.endpoint, &uuid::Uuid::new_v4().to_string())
            .await
            .is_ok()
    })
    .await;
    sidecar.stop().await;
}
