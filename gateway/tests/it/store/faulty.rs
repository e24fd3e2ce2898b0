//! Protocol violations of a driver: they are reported, and their data is discarded.

use std::time::Duration;

use backend_proto::v1::list_response::{Chunk, Part};
use backend_proto::v1::watch_response::Body;
use backend_proto::v1::{self, op_result};
use gateway::store::{
    Action, Index, Limits, Phase, StoreConfig, StoreError, WatchStart, WriteOutcome,
};

use super::LATEST;
use super::server::{TestServer, changes, latest, thing};
use crate::fake::Fake;
use crate::fake::faults::{ListFault, Parts};

fn chunk(records: Vec<v1::Record>) -> v1::ListResponse {
    let part = Some(Part::Chunk(Chunk { records }));
    v1::ListResponse { part }
}

/// The list with changed records.
fn with(parts: Vec<v1::ListResponse>, change: impl Fn(&mut Vec<v1::Record>)) -> Parts {
    let changed = parts.into_iter().map(|mut part| {
        if let Some(Part::Chunk(chunk)) = &mut part.part {
            change(&mut chunk.records);
        }
        part
    });
    Box::new(changed.collect::<Vec<_>>().into_iter())
}

/// The header, followed by endless parts.
fn endless(parts: Vec<v1::ListResponse>, next: fn(usize) -> v1::ListResponse) -> Parts {
    Box::new(parts.into_iter().take(1).chain((0..).map(next)))
}

fn record(number: usize, bytes: usize) -> v1::Record {
    v1::Record {
        key: Some(v1::Key {
            group: "example.com".to_owned(),
            resource: "things".to_owned(),
            namespace: "a".to_owned(),
            name: format!("n{number:012}"),
        }),
        revision: 1,
        value: vec![b' '; bytes].into(),
        ..v1::Record::default()
    }
}

/// Changes a response into an invalid one.
type Fault<T> = fn(&mut T);

/// Invalid lists: the violation, how it is made, and the message for operators.
const LISTS: [(&str, ListFault, &str); 11] = [
    (
        "another resource",
        |parts| {
            with(parts, |records| {
                records[0].key.as_mut().expect("a key").resource = "others".to_owned();
            })
        },
        "another resource",
    ),
    (
        "a key twice",
        |parts| {
            with(parts, |records| {
                let again = records[0].clone();
                records.insert(0, again);
            })
        },
        "key order",
    ),
    (
        "out of order",
        |parts| with(parts, |records| records.reverse()),
        "key order",
    ),
    (
        "no key",
        |parts| with(parts, |records| records[0].key = None),
        "without a key",
    ),
    (
        "a key that is another's",
        |parts| {
            with(parts, |records| {
                records[0].key.as_mut().expect("a key").name = "b/c".to_owned();
            })
        },
        "an invalid key",
    ),
    (
        "from the future",
        |parts| {
            with(parts, |records| {
                records[0].revision = 1 << 52;
            })
        },
        "newer than the list",
    ),
    (
        "from nowhere",
        |parts| {
            with(parts, |records| {
                records[0].revision = i64::MAX;
            })
        },
        "reported revision",
    ),
    (
        "a store without a name",
        |mut parts| {
            if let Some(Part::Header(header)) = &mut parts[0].part {
                header.store_id.clear();
            }
            Box::new(parts.into_iter())
        },
        "without a store id",
    ),
    (
        "no progress",
        |parts| endless(parts, |_| chunk(Vec::new())),
        "chunks without records",
    ),
    (
        "no end",
        |parts| endless(parts, |number| chunk(vec![record(number, 100_000)])),
        "raise --watch-cache-bytes",
    ),
    (
        "a chunk of everything",
        |parts| {
            endless(parts, |number| {
                chunk(
                    (0..40)
                        .map(|at| record(40 * number + at, 1 << 20))
                        .collect(),
                )
            })
        },
        "a chunk of",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn malformed_lists_are_not_loaded() {
    for (name, fault_fn, why) in LISTS {
        let fake = Fake::new();
        let stored = ["a/x", "a/y"].map(|key| (key.to_owned(), thing(key, 1, "red")));
        fake.put(stored);
        fake.fault(|faults| faults.list = Some(fault_fn));
        let limits = Limits {
            history: 1 << 20,
            total: 8 << 20,
        };
        // Without replay, everything is in the list.
        let config = StoreConfig { limits, replay: 0 };
        let server = TestServer::start(fake, config);
        let reported = |phase: &Phase| match phase {
            Phase::Initializing {
                last_error: Some(error),
            } => error.contains(why),
            _ => false,
        };
        server.until(reported).await;
        // Nothing of the invalid list remains.
        server.fake.fault(|faults| faults.list = None);
        server.until(|phase| *phase == Phase::Ready).await;
        let listed = server.list(latest()).await.expect("listed").1;
        assert_eq!(listed.len(), 2, "{name}");
        server.put("a/z", 1, "red").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_revision_is_discarded() {
    let server = TestServer::new().await;
    let written = server.put("a/x", 1, "red").await;
    for absurd in [i64::MAX, 1 << 53, -1, i64::MIN] {
        server.fake.fault(|faults| faults.revisions.push(absurd));
        let error = server.list(latest()).await.expect_err("no revision");
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        let (at, listed) = server.list(latest()).await.expect("listed");
        assert_eq!((at, listed.len()), (written, 1), "after {absurd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_order_change_stream_is_resumed() {
    fn events(response: &mut v1::WatchResponse) -> &mut Vec<v1::Event> {
        match &mut response.body {
            Some(Body::Events(events)) => &mut events.events,
            _ => panic!("events"),
        }
    }
    let cases: [(&str, Fault<v1::WatchResponse>); 9] = [
        ("nothing is reached", |it| it.through_revision = 0),
        ("more than there is", |it| it.through_revision += 1),
        ("no revision at all", |it| it.through_revision = i64::MAX),
        ("backwards", |it| events(it).reverse()),
        ("before its start", |it| {
            let event = &mut events(it)[0];
            event.revision -= 1;
            event.record.as_mut().expect("a record").revision -= 1;
        }),
        ("another revision's record", |it| {
            events(it)[0].revision += 1
        }),
        ("no record", |it| events(it)[0].record = None),
        ("no kind", |it| events(it)[0].r#type = 0),
        ("no header", |it| it.header = None),
    ];
    let server = TestServer::new().await;
    let mut watcher = server.watch(WatchStart::Now(LATEST)).await;
    for (round, (name, fault_fn)) in cases.into_iter().enumerate() {
        server.fake.fault(|faults| faults.events = Some(fault_fn));
        // Two changes in one message.
        let last = server.fake.put((0..2).map(|at| {
            let key = format!("a/{round}-{at}");
            let value = thing(&key, at, "red");
            (key, value)
        }));
        let seen: Vec<u64> = changes(&mut watcher, 2)
            .await
            .into_iter()
            .map(|(_, _, at)| at)
            .collect();
        assert_eq!(seen, [last - 1, last], "{name}");
        assert!(server.fake.disk.lock().faults.events.is_none(), "{name}");
        let listed = server.list(latest()).await.expect("listed").0;
        assert_eq!(listed, last, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_verdict_is_retried() {
    fn applied(response: &mut v1::WriteResponse) -> &mut op_result::Applied {
        match &mut response.results[0].verdict {
            Some(op_result::Verdict::Applied(applied)) => applied,
            other => panic!("applied: {other:?}"),
        }
    }
    let cases: [(&str, Fault<v1::WriteResponse>); 8] = [
        ("no verdict", |it| it.results[0].verdict = None),
        ("too few", |it| it.results.clear()),
        ("too many", |it| it.results.push(v1::OpResult::default())),
        ("no revision", |it| applied(it).revision = 0),
        ("no revision at all", |it| applied(it).revision = i64::MAX),
        ("another record", |it| {
            applied(it).deleted = Some(record(1, 1));
        }),
        ("no header", |it| it.header = None),
        ("a conflict with nothing", |it| {
            let conflict = op_result::Conflict {
                cause: op_result::conflict::Cause::NotFound.into(),
                current: None,
            };
            it.results[0].verdict = Some(op_result::Verdict::Conflict(conflict));
        }),
    ];
    let server = TestServer::new().await;
    for (round, (name, fault_fn)) in cases.into_iter().enumerate() {
        server.fake.fault(|faults| faults.written = Some(fault_fn));
        let key = format!("a/x{round}");
        let create = Action::Create {
            value: thing(&key, 1, "red").into(),
            index: Index::default(),
        };
        let written = tokio::time::timeout(Duration::from_secs(5), server.write(&key, create));
        let written = written.await.expect("in time");
        let Ok(WriteOutcome::Applied { revision, .. }) = written else {
            panic!("{name}: {written:?}")
        };
        assert_eq!(revision.get(), server.fake.revision(), "{name}");
    }
    assert_eq!(server.fake.changes(), 8, "each once");
}
