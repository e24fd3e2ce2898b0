//! Tests of one server.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use postgres_testkit::{Error, Server, Session, Stop};

use crate::{insert, make_table, numbers};

/// Creates a table with the row 1, and an open transaction that has inserted 2.
async fn with_a_table(server: &Server) -> Session {
    let session = server.session("postgres").await.expect("a session");
    make_table(&session).await;
    insert(&session, 1).await;
    session.batch_execute("begin").await.expect("begin");
    insert(&session, 2).await;
    session
}

async fn shows(server: &Server, expected: &str) {
    let session = server.session("postgres").await.expect("a session");
    assert_eq!(numbers(&session).await, expected);
}

/// Returns the shared memory segment of a server, as listed machine-wide.
fn segment_of(data: &Path) -> String {
    let file = std::fs::read_to_string(data.join("postmaster.pid")).expect("its state");
    let line = file.lines().nth(6).expect("a segment").to_owned();
    line.split_whitespace().nth(1).expect("an id").to_owned()
}

fn has_segment(id: &str) -> bool {
    let all = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    all.lines()
        .any(|line| line.split_whitespace().nth(1) == Some(id))
}

fn is_gone(folder: &Path, port: u16) -> bool {
    !folder.exists() && TcpStream::connect(("127.0.0.1", port)).is_err()
}

#[tokio::test]
async fn only_commits_survive_stops_and_crashes() {
    let mut server = Server::builder().start().await.expect("a server");
    let (port, dsn) = (server.port(), server.dsn("postgres"));
    let open = with_a_table(&server).await;
    server.kill9().await.expect("a crash");
    assert!(!server.is_running());
    assert!(open.text("select 1").await.is_err(), "its client lost it");
    for how in [Stop::Immediate, Stop::Fast] {
        server.start_again().await.expect("a start");
        assert!(matches!(server.start_again().await, Err(Error::State(_))));
        shows(&server, "1").await;
        server.stop(how).await.expect("an end");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        assert!(server.stop(how).await.is_err(), "it does not run");
    }
    server.start_again().await.expect("a start");
    shows(&server, "1").await;
    assert_eq!((server.port(), server.dsn("postgres")), (port, dsn));
}

#[tokio::test]
async fn drop_and_crash_leave_nothing() {
    let mut segments = Vec::new();
    for crash in [false, true] {
        let mut server = Server::builder().start().await.expect("a server");
        let folder = server.data().parent().expect("a folder").to_path_buf();
        let port = server.port();
        let segment = segment_of(server.data());
        assert!(has_segment(&segment), "or the check below is void");
        segments.push(segment);
        if crash {
            server.kill9().await.expect("a crash");
        }
        drop(server);
        assert!(is_gone(&folder, port));
    }
    segments.retain(|segment| has_segment(segment));
    assert_eq!(segments, [] as [&str; 0]);
}

#[tokio::test]
async fn panicking_test_leaves_nothing() {
    let mut set = tokio::task::JoinSet::new();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    set.spawn(async move {
        let server = Server::builder().start().await.expect("a server");
        let folder = server.data().parent().expect("a folder").to_path_buf();
        sender.send((folder, server.port())).expect("a listener");
        assert_eq!(server.port(), 0, "a test that fails");
    });
    assert!(
        set.join_next()
            .await
            .expect("a task")
            .is_err_and(|error| error.is_panic())
    );
    let (folder, port) = receiver.await.expect("its place");
    assert!(is_gone(&folder, port));
}

#[test]
fn killed_test_process_leaves_nothing() {
    let mut holder = Command::new(env!("CARGO_BIN_EXE_postgres-testkit"))
        .args(["--database", "mine", "--set", "work_mem=5MB"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let line = |stream: &mut dyn std::io::Read| {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("a line");
        line
    };
    let dsn = line(holder.stdout.as_mut().expect("stdout"));
    let message = line(holder.stderr.as_mut().expect("stderr"));
    let log = message
        .split("log in ")
        .nth(1)
        .and_then(|rest| rest.split(';').next());
    let folder = PathBuf::from(log.expect("its log"))
        .parent()
        .expect("a folder")
        .to_path_buf();
    let port = dsn
        .trim()
        .split([':', '/'])
        .rev()
        .nth(1)
        .expect("a port")
        .parse()
        .expect("a port");
    assert!(dsn.ends_with("/mine\n"), "{dsn}");
    assert!(folder.exists() && TcpStream::connect(("127.0.0.1", port)).is_ok());
    // SIGKILL, so that it cannot clean up.
    holder.kill().expect("a kill");
    holder.wait().expect("its end");
    let begin = Instant::now();
    while !is_gone(&folder, port) {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{} is left",
            folder.display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn server_has_given_settings_and_users() {
    let builder = Server::builder()
        .setting("work_mem", "5MB")
        .user("ann", "it's: \"a\" secret/");
    let server = builder.start().await.expect("a server");
    let dsn = server
        .create_database("some thing")
        .await
        .expect("a database");
    let session = Session::connect(&dsn).await.expect("a session");
    let text = async |statement| {
        session
            .text(statement)
            .await
            .expect("an answer")
            .expect("a row")
    };
    assert_eq!(text("show work_mem").await, "5MB");
    assert_eq!(text("show fsync").await, "off");
    assert_eq!(text("select current_database()").await, "some thing");
    server
        .set("log_min_duration_statement", "7")
        .await
        .expect("a change");
    let fresh = server.session("postgres").await.expect("a session");
    let shown = fresh
        .text("show log_min_duration_statement")
        .await
        .expect("an answer");
    assert_eq!(shown.as_deref(), Some("7ms"));

    let ann = server.user_dsn("ann", "some thing").expect("a user");
    let session = Session::connect(&ann).await.expect("a session");
    let who = session
        .text("select current_user")
        .await
        .expect("an answer");
    assert_eq!(who.as_deref(), Some("ann"));
    let (before, after) = ann.split_once("//ann:").expect("a password");
    let without = format!("{before}//ann@{}", after.split_once('@').expect("a host").1);
    assert!(
        Session::connect(&without).await.is_err(),
        "a password is needed"
    );
    assert!(server.user_dsn("bob", "some thing").is_err());
}

#[tokio::test]
async fn server_without_tcp_is_reachable_by_socket() {
    let server = Server::builder()
        .without_tcp()
        .fsync(true)
        .start()
        .await
        .expect("a server");
    assert!(TcpStream::connect(server.address()).is_err());
    let session = Session::connect(&server.dsn("postgres"))
        .await
        .expect("a session");
    let fsync = session.text("show fsync").await.expect("an answer");
    assert_eq!(fsync.as_deref(), Some("on"));
}

#[tokio::test]
async fn failed_server_start_reports_reason() {
    let started = Server::builder().setting("work_mem", "much").start().await;
    let message = started.expect_err("an error").to_string();
    assert!(
        message.contains("invalid value for parameter \"work_mem\""),
        "{message}"
    );
}
