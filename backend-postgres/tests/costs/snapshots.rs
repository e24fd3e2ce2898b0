//! Tests the cost of writes while a long transaction holds an older snapshot: a backup, a report,
//! or a list. The snapshot prevents vacuum from removing the dead versions of the row of `store`.

use std::collections::BTreeMap;

use backend_proto::v1::GetRequest;
use backend_proto::v1::op::Action;
use futures_util::future::join_all;
use postgres_testkit::Server;
use serde_json::Value;
use tokio::time::timeout;

use crate::log::{DEADLINE, Mark, OURS, ask, key, op, reach, watch, write};
use crate::plans::{NAMES, plans};
use crate::sidecar_of::Sidecar;

/// Commits while the snapshot is held.
const WRITES: u64 = 2000;

/// Minimum bytes of the dead row versions that these commits leave.
const LEFT: u64 = WRITES * 100;

/// Maximum pages of the table and its index per scan: the descent of the index, and one version.
const PAGES: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_snapshot_does_not_slow_statements() {
    let builder = Server::builder()
        .setting("session_preload_libraries", "auto_explain")
        .setting("auto_explain.log_analyze", "on")
        .setting("auto_explain.log_buffers", "on")
        .setting("auto_explain.log_format", "json");
    let server = builder.start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let session = server.session("ark").await.expect("a session");
    let holder = server.session("ark").await.expect("a session");
    let sidecar = Sidecar::start(&["--dsn", &dsn]).await;
    write(&sidecar.endpoint, op(Action::Create, "first", "0")).await;
    ask(&holder, "begin isolation level repeatable read").await;
    ask(&holder, "select 1").await;
    for number in 0..WRITES {
        // Separate keys, so that the row of `store` is the only shared one.
        let name = format!("q{number}");
        write(&sidecar.endpoint, op(Action::Create, &name, "1")).await;
    }
    sidecar.stop().await;
    let left = ask(&session, "select pg_relation_size('ark.store')").await;
    let left: u64 = left.parse().expect("a number");
    assert!(left > LEFT, "the snapshot keeps nothing: {left} bytes");

    let explain = "alter database ark set auto_explain.log_min_duration = 0";
    ask(&session, explain).await;
    let mark = Mark::now(&server);
    let sidecar = Sidecar::start(&["--dsn", &dsn]).await;
    let last = write(&sidecar.endpoint, op(Action::Update, "first", "1")).await;
    let mut stream = watch(&sidecar.endpoint, last - 1).await;
    reach(&mut stream, last).await;
    let request = GetRequest {
        key: Some(key("first")),
        revision: 0,
    };
    let mut client = sidecar.endpoint.client();
    let got = timeout(DEADLINE, client.get(request)).await;
    got.expect("in time").expect("an answer");
    let touched = touched(&mark.since(&server));
    println!(
        "after {WRITES} commits, {left} bytes; pages that a scan of the row touched: {touched:?}"
    );
    for statement in ["lock", "apply", "get", "read_log"] {
        let pages = touched.get(statement).copied();
        let pages = pages.unwrap_or_else(|| panic!("{statement} was not seen"));
        assert!(pages <= PAGES, "{statement} touched {pages} pages");
    }
    ask(&holder, "commit").await;
    drop(stream);
    sidecar.stop().await;
}

/// Returns, per statement, the maximum pages of one scan of the table `store`.
fn touched(log: &str) -> BTreeMap<&'static str, u64> {
    let mut most = BTreeMap::new();
    for plan in plans(log) {
        let text = plan["Query Text"].as_str().unwrap_or_default();
        let named = NAMES.iter().find(|(_, part)| text.contains(part));
        if let Some((name, _)) = named.filter(|_| !text.contains(OURS)) {
            look(&plan["Plan"], most.entry(*name).or_default());
        }
    }
    most
}

fn look(node: &Value, most: &mut u64) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    if node["Relation Name"] == "store" && kind.contains("Scan") {
        let pages = ["Shared Hit Blocks", "Shared Read Blocks"].map(|one| node[one].as_u64());
        *most = pages.into_iter().flatten().sum::<u64>().max(*most);
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        look(below, most);
    }
}

/// Concurrent sidecars that wait for the row.
const WRITERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_writer_continues_after_revision_of_previous_writer() {
    let server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let session = server.session("ark").await.expect("a session");
    let holder = server.session("ark").await.expect("a session");
    let mut sidecars = Vec::new();
    let mut base = 0;
    for number in 0..WRITERS {
        let sidecar = Sidecar::start(&["--dsn", &dsn]).await;
        let first = op(Action::Create, &format!("first{number}"), "1");
        base = write(&sidecar.endpoint, first).await;
        sidecars.push(sidecar);
    }
    ask(&holder, "begin").await;
    ask(&holder, "select revision from ark.store for update").await;
    let writes = sidecars
        .iter()
        .enumerate()
        .map(|(number, sidecar)| async move {
            let mut revisions = Vec::new();
            for round in 0..20 {
                let name = format!("q{number}-{round}");
                let create = op(Action::Create, &name, "1");
                revisions.push(write(&sidecar.endpoint, create).await);
            }
            revisions
        });
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    let expected = WRITERS.to_string();
    let all_wait = async { while ask(&session, waiting).await != expected {} };
    let (written, ()) = tokio::join!(join_all(writes), async {
        timeout(DEADLINE, all_wait).await.expect("everybody waits");
        ask(&holder, "rollback").await;
    });
    let mut revisions = written.concat();
    revisions.sort_unstable();
    let expected: Vec<i64> = (base + 1..).take(revisions.len()).collect();
    assert_eq!(revisions, expected);
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}
