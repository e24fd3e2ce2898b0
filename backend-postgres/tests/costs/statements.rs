//! Tests that connections and statements do not grow with watchers, and that an idle driver sends
//! almost none.

use std::collections::HashMap;
use std::time::Duration;

use backend_proto::v1::op::Action;
use postgres_testkit::{Server, Session};
use tokio::time::{Instant, sleep};

use crate::log::{Mark, ask, op, reach, talkative, watch, write};
use crate::sidecar_of::Sidecar;

/// Writes per measurement.
const WRITES: u64 = 40;

const CONNECTIONS: &str =
    "select count(*) from pg_stat_activity where application_name = 'backend-postgres'";

async fn connections(session: &Session) -> u32 {
    ask(session, CONNECTIONS).await.parse().expect("a number")
}

/// Returns the number of statements caused by writes, and of those caused by timers or new
/// connections, which depend on the speed of the machine. The former have the same text for each
/// write.
fn of_writes(sent: &[&String]) -> (usize, usize) {
    let mut kinds: HashMap<&str, usize> = HashMap::new();
    for statement in sent {
        *kinds.entry(statement).or_default() += 1;
    }
    let (often, seldom): (Vec<_>, Vec<_>) = kinds
        .into_values()
        .partition(|count| *count as u64 * 2 > WRITES);
    (often.iter().sum(), seldom.iter().sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_and_statements_are_independent_of_watchers() {
    let (server, dsn) = talkative(Server::builder()).await;
    let sidecar = Sidecar::start(&["--dsn", &dsn]).await;
    let session = server.session("ark").await.expect("a session");
    let mut last = write(&sidecar.endpoint, op(Action::Create, "a", "0")).await;
    let mut watches = Vec::new();
    let mut costs = Vec::new();
    for count in [0, 1, 50, 1000] {
        while watches.len() < count {
            watches.push(watch(&sidecar.endpoint, 0).await);
        }
        let mark = Mark::now(&server);
        for number in 0..WRITES {
            let value = format!("{count} {number}");
            last = write(&sidecar.endpoint, op(Action::Update, "a", &value)).await;
        }
        for watch in &mut watches {
            reach(watch, last).await;
        }
        let sent = mark.statements(&server);
        let (read, others): (Vec<_>, Vec<_>) = sent.iter().partition(|one| one.contains("LATERAL"));
        let (written, seldom) = of_writes(&others);
        let written = written as f64 / WRITES as f64;
        costs.push((
            count,
            connections(&session).await,
            written,
            read.len(),
            seldom,
        ));
    }
    println!("watchers, connections, statements per write, reads of the log, others: {costs:?}");
    for (count, connections, written, read, seldom) in costs {
        assert!(
            connections <= 8,
            "{count} watchers: {connections} connections"
        );
        // BEGIN, lock, apply, COMMIT (two in one message), and NOTIFY, which may be coalesced.
        assert!(
            written <= 5.2,
            "{count} watchers: {written} statements per write"
        );
        assert!(
            read as u64 <= WRITES * 2,
            "{count} watchers: {read} reads of the log"
        );
        assert!(
            seldom < WRITES as usize,
            "{count} watchers: {seldom} statements of other kinds"
        );
    }
    drop(watches);
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sidecar_polls_once_a_second_and_writes_nothing() {
    const IDLE: Duration = Duration::from_secs(20);
    // Exclude what an idle server writes by itself: statistics, and snapshots for standbys.
    let builder = Server::builder()
        .setting("autovacuum", "off")
        .setting("wal_level", "minimal")
        .setting("max_wal_senders", "0");
    let (server, dsn) = talkative(builder).await;
    let sidecar = Sidecar::start(&["--dsn", &dsn]).await;
    let last = write(&sidecar.endpoint, op(Action::Create, "a", "0")).await;
    let mut stream = watch(&sidecar.endpoint, last - 1).await;
    reach(&mut stream, last).await;
    let session = server.session("ark").await.expect("a session");
    settle(&session).await;
    let mark = Mark::now(&server);
    let before = ask(&session, POSITION).await;
    sleep(IDLE).await;
    let sent = mark.statements(&server);
    let after = ask(&session, POSITION).await;
    println!(
        "idle for {IDLE:?}: {} statements, {before} to {after}",
        sent.len()
    );
    assert_eq!(before, after, "the log of the server moved");
    assert!(sent.len() as u64 <= IDLE.as_secs(), "{sent:#?}");
    assert!(
        sent.len() > 5,
        "it polls, or the count is broken: {sent:#?}"
    );
    sidecar.stop().await;
}

const POSITION: &str = "select pg_current_wal_insert_lsn()";

/// Waits until the writes of the start are flushed.
async fn settle(session: &Session) {
    ask(session, "checkpoint").await;
    let (mut position, mut since) = (ask(session, POSITION).await, Instant::now());
    let started = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the server never settles"
        );
        sleep(Duration::from_millis(100)).await;
        let now = ask(session, POSITION).await;
        if now != position {
            (position, since) = (now, Instant::now());
        }
    }
}
