//! Tests of the query plans at 100,000 objects, by `auto_explain`, which logs the plans of the
//! statements that actually ran.

use std::collections::BTreeMap;
use std::time::Duration;

use backend_proto::v1::op::Action;
use backend_proto::v1::{
    CompactRequest, ExportRequest, GetRequest, Key, ListRequest, Range, WriteRequest,
};
use conformance::Endpoint;
use postgres_testkit::Server;
use serde_json::Value;
use tokio::time::timeout;

use crate::log::{DEADLINE, Mark, OURS, ask, key, op, reach, watch, write};
use crate::sidecar_of::Sidecar;

/// Number of objects; every second one was updated once.
const OBJECTS: i64 = 100_000;

/// 100,000 creates after the revision of the store, then 50,000 updates; recent, so that they are
/// not compacted.
const FILL: &str = "
    select ark.extend_log(s.revision + 1, s.revision + 160000, 0) from ark.store s;
    create temp table made as
      select s.revision as base, r.id as resource, n,
        'ns' || n % 100 || '/o' || n as path, convert_to(repeat(n::text, 40), 'UTF8') as value,
        (extract(epoch from now()) * 1000000000)::bigint as now
      from ark.store s, ark.resource r, generate_series(1, 100000) n where r.resource = 'queries';
    insert into ark.object (resource, path, revision, create_revision, created_at, time, size, sum,
        uid, value)
      select resource, path, base + case when n % 2 = 0 then 100000 + n / 2 else n end, base + n, 0,
        0, octet_length(value), sha256(value), '', value from made;
    insert into ark.log (revision, resource, path, change, previous, create_revision, created_at,
        time, actor, size)
      select base + n, resource, path, 1, 0, base + n, 0, now, '', octet_length(value) from made;
    insert into ark.log (revision, resource, path, change, previous, create_revision, created_at,
        time, actor, size, old_time, old_sum, old_value)
      select base + 100000 + n / 2, resource, path, 2, base + n, base + n, 0, now, '',
        octet_length(value), 0, sha256(value), value from made where n % 2 = 0;
    update ark.store set revision = revision + 150000";

/// Per statement, the maximum number of rows of one scan.
type Costs = BTreeMap<&'static str, u64>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_uses_an_index_at_100_000_objects() {
    let builder = Server::builder()
        .setting("session_preload_libraries", "auto_explain")
        .setting("auto_explain.log_min_duration", "0")
        .setting("auto_explain.log_analyze", "on")
        .setting("auto_explain.log_format", "json")
        .setting("autovacuum", "off");
    let server = builder.start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let sidecar = Sidecar::start(&["--dsn", &dsn]).await;
    let session = server.session("ark").await.expect("a session");
    let base = write(&sidecar.endpoint, op(Action::Create, "first", "1")).await;
    session
        .batch_execute(&format!("begin; {OURS} {FILL}; commit"))
        .await
        .expect("filled");
    // As after a large import, and as after the next ANALYZE.
    for (moment, whole) in [("before statistics", true), ("with statistics", false)] {
        let mark = Mark::now(&server);
        if whole {
            list_everything(&sidecar.endpoint, base).await;
        }
        work(&sidecar.endpoint, base).await;
        // So many records are not counted: the estimate needs statistics.
        let estimate = about_records(&sidecar.endpoint).await;
        let expected = if whole {
            0..=0
        } else {
            OBJECTS..=OBJECTS * 11 / 10
        };
        assert!(
            expected.contains(&estimate),
            "about {estimate} records {moment}"
        );
        let costs = check_plans(&mark.since(&server));
        println!("{moment}, most rows of one scan: {costs:?}");
        for statement in NAMES.map(|(name, _)| name) {
            assert!(
                costs.contains_key(statement),
                "{statement} was not seen: {costs:?}"
            );
        }
        ask(&session, "analyze").await;
    }
    sidecar.stop().await;
}

/// Lists all objects, at the current revision and before the updates.
async fn list_everything(endpoint: &Endpoint, base: i64) {
    for revision in [0, base + OBJECTS] {
        let listed = list(endpoint, None, None, 0, revision).await;
        assert_eq!(listed, OBJECTS as usize + 1);
    }
}

/// Returns the number of records that an export announces.
async fn about_records(endpoint: &Endpoint) -> i64 {
    let export = endpoint.client().export(ExportRequest::default()).await;
    let first = export.expect("export").into_inner().message().await;
    first.expect("export").expect("a header").about_records
}

/// Makes every kind of call.
async fn work(endpoint: &Endpoint, base: i64) {
    let middle = base + OBJECTS;
    let some = |name: &str| Some(name.to_owned());
    for (namespace, name, limit, revision, expected) in [
        (None, None, 500, 0, 500),
        (some("ns8"), None, 0, 0, 1000),
        (some("ns8"), some("o108"), 0, 0, 1),
        (some("ns8"), None, 0, middle, 1000),
    ] {
        let listed = list(endpoint, namespace, name, limit, revision).await;
        assert!(listed >= expected, "{listed} of {expected}");
    }
    let last = Key {
        namespace: "ns0".to_owned(),
        name: format!("o{OBJECTS}"),
        ..key("")
    };
    for (key, revision) in [(key("first"), 0), (last, middle), (key("nothing"), 0)] {
        let request = GetRequest {
            key: Some(key),
            revision,
        };
        let mut client = endpoint.client();
        let got = timeout(DEADLINE, client.get(request))
            .await
            .expect("in time");
        got.expect("an answer");
    }
    for start in [base + 10, middle + 10] {
        let mut stream = watch(endpoint, start).await;
        reach(&mut stream, start + 3000).await;
    }
    let name = uuid::Uuid::new_v4().to_string();
    for (action, value) in [
        (Action::Create, "1"),
        (Action::Update, "2"),
        (Action::Delete, ""),
    ] {
        write(endpoint, op(action, &name, value)).await;
    }
    let ops = (0..200).map(|number| op(Action::Create, &format!("{name}-{number}"), "1"));
    let request = WriteRequest { ops: ops.collect() };
    endpoint.client().write(request).await.expect("written");
    let request = CompactRequest { revision: base + 1 };
    endpoint.client().compact(request).await.expect("compacted");
}

async fn list(
    endpoint: &Endpoint,
    namespace: Option<String>,
    name: Option<String>,
    limit: i64,
    revision: i64,
) -> usize {
    use backend_proto::v1::list_response::Part;
    let range = Range {
        group: key("").group,
        resource: key("").resource,
        namespace,
        name,
    };
    let request = ListRequest {
        range: Some(range),
        limit,
        revision,
        ..ListRequest::default()
    };
    let mut stream = endpoint
        .client()
        .list(request)
        .await
        .expect("list")
        .into_inner();
    let (mut records, mut ended) = (0, false);
    loop {
        let message = timeout(Duration::from_secs(60), stream.message()).await;
        let Some(message) = message.expect("in time").expect("list") else {
            break;
        };
        match message.part {
            Some(Part::Chunk(chunk)) => records += chunk.records.len(),
            Some(Part::Trailer(_)) => ended = true,
            _ => {}
        }
    }
    assert!(ended, "a list without its end");
    records
}

/// Prefixes of the statements that must be fast, with their names here. The first match counts.
pub(crate) const NAMES: [(&str, &str); 8] = [
    ("apply", "WITH s AS MATERIALIZED"),
    ("read_log", "LEFT JOIN LATERAL"),
    ("get", "LEFT JOIN ark.object"),
    ("get in the past", "AND resource = $2 AND path = $3"),
    ("list", "FROM ark.object WHERE resource = $1 AND path >="),
    ("list's overlay", "SELECT path, revision, octet_length"),
    ("list in the past", "FROM ark.log WHERE revision = ANY"),
    ("lock", "FOR UPDATE"),
];

/// Maximum rows of one scan of a statement. Reads at a past revision grow with the changes since.
fn most(statement: &str) -> u64 {
    match statement {
        "apply" | "lock" | "get" => 1,
        "read_log" | "list in the past" => 1024,
        "list" => 4096,
        _ => 60_000,
    }
}

/// Checks every plan in the log.
fn check_plans(log: &str) -> Costs {
    let mut costs = Costs::new();
    for plan in plans(log) {
        let text = plan["Query Text"].as_str().unwrap_or_default().to_owned();
        let named = NAMES.iter().find(|(_, part)| text.contains(part));
        let Some((name, _)) = named.filter(|_| !text.contains(OURS)) else {
            continue;
        };
        let mut read = 0;
        look(name, &plan["Plan"], &mut read);
        let most_read = costs.entry(name).or_default();
        *most_read = read.max(*most_read);
    }
    for (name, read) in &costs {
        assert!(*read <= most(name), "{name} read {read} rows in one scan");
    }
    costs
}

/// Returns the plans in a log. Each begins on the line after its duration, and all its lines are
/// indented.
pub(crate) fn plans(log: &str) -> Vec<Value> {
    let mut plans = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.ends_with(" plan:") {
            continue;
        }
        let mut text = String::new();
        while let Some(more) = lines.next_if(|line| line.starts_with('\t')) {
            text.push_str(more);
        }
        plans.push(serde_json::from_str(&text).expect("a plan in JSON"));
    }
    plans
}

/// Asserts that a node and its children read growing tables by an index, in its order.
fn look(name: &str, node: &Value, read: &mut u64) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let table = node["Relation Name"].as_str().unwrap_or_default();
    if table == "object" || table.starts_with("log_") {
        assert!(
            matches!(kind, "Index Scan" | "Index Only Scan" | "ModifyTable"),
            "{name}: {kind} of {table}: {node:#}"
        );
        let number = |key: &str| node[key].as_f64().unwrap_or(0.0);
        if kind != "ModifyTable" {
            let rows = number("Actual Rows") + number("Rows Removed by Filter");
            *read = (*read).max(rows as u64);
        }
    }
    if kind.contains("Sort") {
        // Sorted input may be a batch, a page that was read in order anyway, one row, or some keys;
        // never the stored data.
        let rows = node["Actual Rows"].as_u64().unwrap_or(u64::MAX);
        let most = match name {
            "apply" | "read_log" | "get in the past" => Some(1024),
            "list's overlay" => Some(1 << 15),
            _ => None,
        };
        let small = most.is_some_and(|most| rows <= most);
        assert!(small, "{name}: {kind}: {node:#}");
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        look(name, below, read);
    }
}
