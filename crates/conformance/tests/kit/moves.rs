//! Tests of imports from one model into another, which then passes the same cases.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backend_proto::error::from_status;
use backend_proto::v1::backend_client::BackendClient;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::export_response::Part as Exported;
use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::op::Action;
use backend_proto::v1::{
    CurrentRevisionRequest, ExportRequest, GetRequest, Header, ImportRequest, ImportResponse, Key,
    Op, Record, WriteRequest,
};
use conformance::{ModelDriver, Report, RunOptions, cases, suite};
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::transport::Channel;

use crate::faulty_driver::FaultyDriver;
use crate::served::Served;

type Client = BackendClient<Channel>;

fn key(name: &str) -> Key {
    Key {
        group: "moves.test".to_owned(),
        resource: "things".to_owned(),
        namespace: "ns".to_owned(),
        name: name.to_owned(),
    }
}

async fn write(client: &mut Client, action: Action, name: &str, value: &'static str) {
    let op = Op {
        key: Some(key(name)),
        action: action.into(),
        value: value.into(),
        ..Op::default()
    };
    let request = WriteRequest { ops: vec![op] };
    client.write(request).await.expect("written");
}

async fn head(client: &mut Client) -> Header {
    let response = client.current_revision(CurrentRevisionRequest {}).await;
    response
        .expect("current")
        .into_inner()
        .header
        .expect("header")
}

async fn get(client: &mut Client, name: &str, revision: i64) -> Result<Option<Record>, Status> {
    let request = GetRequest {
        key: Some(key(name)),
        revision,
    };
    Ok(client.get(request).await?.into_inner().record)
}

/// Exports a store, with two changes made during the export, as parts of an import.
async fn exported(client: &mut Client) -> Vec<Part> {
    for name in ["a", "b", "c"] {
        write(client, Action::Create, name, "1").await;
    }
    write(client, Action::Update, "a", "2").await;
    let request = ExportRequest {
        follow: true,
        ..ExportRequest::default()
    };
    let mut stream = client.export(request).await.expect("export").into_inner();
    let (mut parts, mut records, mut events) = (Vec::new(), 0, 0);
    while events < 2 {
        let message = stream.message().await.expect("export").expect("open");
        match message.part.expect("part") {
            Exported::Header(source) => parts.push(Part::Options(Options {
                source: Some(source),
                keep_epoch: true,
                ..Options::default()
            })),
            Exported::Chunk(chunk) => {
                records += chunk.records.len() as i64;
                parts.push(Part::Chunk(chunk));
            }
            Exported::Trailer(_) => {
                write(client, Action::Delete, "b", "").await;
                write(client, Action::Update, "c", "2").await;
            }
            Exported::Progress(_) => panic!("progress without a request for it"),
            Exported::Events(batch) => {
                events += batch.events.len() as i64;
                parts.push(Part::Events(batch));
            }
        }
    }
    parts.push(Part::Done(Done { records, events }));
    parts
}

async fn import(client: &mut Client, parts: &[Part]) -> Result<ImportResponse, Status> {
    let requests: Vec<_> = parts
        .iter()
        .map(|part| ImportRequest {
            part: Some(part.clone()),
        })
        .collect();
    Ok(client
        .import(tokio_stream::iter(requests))
        .await?
        .into_inner())
}

/// Returns the first of two equivalent calls.
fn first_of_two(parts: &[Part]) -> Vec<Part> {
    let mut first = parts[..2].to_vec();
    if let [Part::Options(options), Part::Chunk(_)] = &mut first[..] {
        options.more = true;
    }
    first.push(Part::Done(Done {
        records: 3,
        events: 0,
    }));
    first
}

/// Returns the second of two equivalent calls: everything but the records.
fn second_of_two(parts: &[Part]) -> Vec<Part> {
    let mut second = parts.to_vec();
    second.remove(1);
    second.pop();
    second.push(Part::Done(Done {
        records: 0,
        events: 2,
    }));
    second
}

/// Waits until a store serves.
async fn serves(client: &mut Client) {
    let served = async {
        while get(client, "a", 0).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let served = tokio::time::timeout(Duration::from_secs(60), served).await;
    served.expect("it serves in time");
}

fn restore(parts: &[Part]) -> Vec<Part> {
    let mut parts = parts.to_vec();
    for part in &mut parts {
        if let Part::Options(options) = part {
            options.keep_epoch = false;
        }
    }
    parts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_move_keeps_revisions_and_history() {
    let source = Served::start(Arc::new(ModelDriver::new())).await;
    let mut from = source.endpoint().client();
    let parts = exported(&mut from).await;
    let target = Served::start(Arc::new(ModelDriver::new())).await;
    let mut to = target.endpoint().client();
    let imported = import(&mut to, &parts).await.expect("imported");
    assert_eq!((imported.records, imported.events), (3, 2));
    let (there, here) = (head(&mut to).await, head(&mut from).await);
    assert_eq!(
        (&there.store_id, there.revision),
        (&here.store_id, here.revision)
    );
    for revision in there.compact_revision..=there.revision {
        for name in ["a", "b", "c"] {
            let moved = get(&mut to, name, revision).await.expect("get");
            assert_eq!(moved, get(&mut from, name, revision).await.expect("get"));
        }
    }
    let rejected = import(&mut to, &parts).await.expect_err("no longer empty");
    assert_eq!(
        from_status(&rejected).expect("typed").reason(),
        Reason::Invalid
    );

    let run_options = RunOptions {
        seed: 3,
        long: false,
    };
    let mut cases = cases::all();
    cases.retain(|case| !case.id.starts_with("W3"));
    let rows = suite::run(&target.endpoint(), &cases, run_options, |_| ()).await;
    let rows = rows.expect("the target answers");
    let report = Report { rows };
    assert!(!report.failed(), "{report}");
    source.stop().await;
    target.stop().await;
}

#[tokio::test]
async fn restore_begins_a_new_epoch() {
    let source = Served::start(Arc::new(ModelDriver::new())).await;
    let mut from = source.endpoint().client();
    let parts = restore(&exported(&mut from).await);
    let target = Served::start(Arc::new(ModelDriver::new())).await;
    let mut to = target.endpoint().client();
    import(&mut to, &parts).await.expect("imported");
    let (there, here) = (head(&mut to).await, head(&mut from).await);
    assert!(there.epoch > here.epoch);
    assert!(there.revision > here.revision && there.compact_revision == there.revision);
    for name in ["a", "b", "c"] {
        let moved = get(&mut to, name, 0).await.expect("get");
        assert_eq!(moved, get(&mut from, name, 0).await.expect("get"));
    }
    let past = get(&mut to, "a", here.revision).await.expect_err("past");
    assert_eq!(
        from_status(&past).expect("typed").reason(),
        Reason::Compacted
    );
    source.stop().await;
    target.stop().await;
}

#[tokio::test]
async fn incomplete_import_stores_nothing() {
    let source = Served::start(Arc::new(ModelDriver::new())).await;
    let parts = exported(&mut source.endpoint().client()).await;
    let target = Served::start(Arc::new(ModelDriver::new())).await;
    let mut to = target.endpoint().client();
    let before = head(&mut to).await;
    let (done, broken_off) = parts.split_last().expect("parts");
    let mut miscounted = broken_off.to_vec();
    miscounted.push(Part::Done(Done {
        records: 99,
        events: 2,
    }));
    let mut disordered = broken_off.to_vec();
    disordered.swap(1, broken_off.len() - 1);
    disordered.push(done.clone());
    for parts in [broken_off, &miscounted, &disordered] {
        let rejected = import(&mut to, parts).await.expect_err("refused");
        assert_eq!(
            from_status(&rejected).expect("typed").reason(),
            Reason::Invalid
        );
        assert_eq!(head(&mut to).await, before);
        assert_eq!(get(&mut to, "a", 0).await.expect("get"), None);
    }
    import(&mut to, &parts).await.expect("imported at last");
    source.stop().await;
    target.stop().await;
}

#[tokio::test]
async fn import_by_one_process_is_served_by_all() {
    let source = Served::start(Arc::new(ModelDriver::new())).await;
    let parts = exported(&mut source.endpoint().client()).await;
    let store = ModelDriver::new();
    let one = Served::start(Arc::new(store.clone())).await;
    let mut to = one.endpoint().client();
    import(&mut to, &first_of_two(&parts)).await.expect("begun");
    // This server finds the import unfinished, and another one finishes it.
    let other = Served::start(Arc::new(store)).await;
    let mut there = other.endpoint().client();
    let closed = get(&mut there, "a", 0).await.expect_err("half a store");
    let closed = from_status(&closed).expect("typed").reason();
    assert_eq!(closed, Reason::NotReady);
    let finished = import(&mut to, &second_of_two(&parts)).await;
    assert_eq!(finished.expect("finished").events, 2);
    serves(&mut there).await;
    source.stop().await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn completed_import_is_acknowledged_despite_later_read_errors() {
    let source = Served::start(Arc::new(ModelDriver::new())).await;
    let parts = exported(&mut source.endpoint().client()).await;
    let driver = FaultyDriver::new(ModelDriver::new());
    let silent = Arc::clone(&driver.silent);
    let target = Served::start(Arc::new(driver)).await;
    let mut to = target.endpoint().client();
    serves(&mut to).await;
    silent.store(true, Ordering::Relaxed);
    let imported = import(&mut to, &parts).await.expect("imported");
    assert_eq!((imported.records, imported.events), (3, 2));
    // The gate stays closed until a refresh of the import state succeeds.
    assert!(get(&mut to, "a", 0).await.is_err());
    silent.store(false, Ordering::Relaxed);
    serves(&mut to).await;
    source.stop().await;
    target.stop().await;
}

#[tokio::test]
async fn import_rejection_does_not_wait_for_the_rest() {
    let target = Served::start(Arc::new(ModelDriver::new())).await;
    let options = Options {
        // The header has no epoch.
        source: Some(Header::default()),
        ..Options::default()
    };
    let first = ImportRequest {
        part: Some(Part::Options(options)),
    };
    let stream = tokio_stream::once(first).chain(tokio_stream::pending());
    let mut to = target.endpoint().client();
    let rejected = tokio::time::timeout(Duration::from_secs(60), to.import(stream)).await;
    let rejected = rejected.expect("refused in time").expect_err("refused");
    let rejected = from_status(&rejected).expect("typed").reason();
    assert_eq!(rejected, Reason::Invalid);
    target.stop().await;
}
