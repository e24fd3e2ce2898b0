//! Tests of kill -9 during a fence or an import: each call is atomic.

use std::collections::HashSet;
use std::time::Duration;

use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::list_response::Chunk;
use backend_proto::v1::op::Action;
use backend_proto::v1::{
    CurrentRevisionRequest, DescribeRequest, DescribeResponse, FenceRequest, Header, ImportRequest,
    Key, Record,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::server::program::{Client, Program, create, list, op, write};

const KILLS: u64 = 20;
/// Timeout of the first fence.
const FIRST: Duration = Duration::from_secs(10);

/// Number of records in the import, in one call, and in one message.
const RECORDS: usize = 1200;
const CALL: usize = 40;
const MESSAGE: usize = 10;

async fn describe(client: &Client) -> DescribeResponse {
    let described = client.clone().describe(DescribeRequest::default()).await;
    described.expect("describe").into_inner()
}

async fn revision(client: &Client) -> i64 {
    let current = client
        .clone()
        .current_revision(CurrentRevisionRequest {})
        .await;
    let header = current.expect("current").into_inner().header;
    header.expect("header").revision
}

async fn fence(client: &Client, reason: &str) -> Result<i64, tonic::Status> {
    let request = FenceRequest {
        fenced: !reason.is_empty(),
        reason: reason.to_owned(),
    };
    let response = client.clone().fence(request).await?.into_inner();
    Ok(response.header.expect("header").revision)
}

/// Client's knowledge of the fence.
#[derive(Clone, Debug, Default)]
struct Fenced {
    /// Reason and revision of the last acknowledged fence; an empty reason if it was lifted.
    acknowledged: (String, i64),
    /// Reason of the fence whose call failed without a response.
    open: String,
}

/// Sets and lifts fences until a call fails; counts acknowledged calls in `count`.
async fn fence_until_dead(client: Client, count: watch::Sender<usize>) -> Fenced {
    let mut known = Fenced::default();
    for number in 0.. {
        known.open = if known.acknowledged.0.is_empty() {
            format!("fence {number}")
        } else {
            String::new()
        };
        match fence(&client, &known.open).await {
            Ok(revision) => {
                known.acknowledged = (known.open.clone(), revision);
                count.send_modify(|count| *count += 1);
            }
            Err(_) => break,
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    known
}

/// Creates objects, retrying while fenced, until the store is gone; returns the acknowledged ones.
async fn write_until_dead(client: Client, prefix: String) -> Vec<(i64, String)> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("{prefix}-{number}");
        match write(&client, op(Action::Create, &name, "v")).await {
            Ok((revision, _)) => acknowledged.push((revision, name)),
            Err(status) if backend_proto::error::from_status(&status).is_some() => {}
            Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fence_is_atomic_under_kills() {
    let mut program = Program::new();
    let mut acknowledged = Vec::new();
    let mut fences = 0;
    for round in 0..KILLS {
        let client = program.start().await;
        let mut writers = JoinSet::new();
        for writer in 0..3 {
            writers.spawn(write_until_dead(
                client.clone(),
                format!("r{round}w{writer}"),
            ));
        }
        let mut fencer = JoinSet::new();
        let (count, mut counted) = watch::channel(0);
        fencer.spawn(fence_until_dead(client, count));
        // Every second kill waits for a fence, however slow the machine; the others may come before
        // the first fence.
        if round % 2 == 1 {
            let first = tokio::time::timeout(FIRST, counted.wait_for(|count| *count > 0));
            first.await.expect("in time").expect("the store lives");
        }
        tokio::time::sleep(Duration::from_millis(20 + (round * 7) % 60)).await;
        program.kill();
        acknowledged.extend(writers.join_all().await.into_iter().flatten());
        let known = fencer.join_next().await.expect("a task").expect("fencer");
        fences += usize::from(known.acknowledged.1 > 0);

        let client = program.start().await;
        let found = describe(&client).await.fenced;
        let acknowledged_fence = &known.acknowledged;
        assert!(
            found == acknowledged_fence.0 || found == known.open,
            "{found}: {known:?}"
        );
        if !found.is_empty() {
            let rejected = write(&client, op(Action::Create, "late", "v")).await;
            rejected.expect_err("fenced");
        }
        if !acknowledged_fence.0.is_empty() && found == acknowledged_fence.0 {
            assert_eq!(
                revision(&client).await,
                acknowledged_fence.1,
                "a change after the fence"
            );
        }
        fence(&client, "").await.expect("lifted");
        program.kill();
    }
    assert!(fences > KILLS as usize / 4, "too few fences");
    let client = program.start().await;
    let records = list(&client).await.1.into_iter();
    let stored: HashSet<(i64, String)> = records
        .map(|record| (record.revision, record.key.expect("key").name))
        .collect();
    for entry in acknowledged {
        assert!(stored.contains(&entry), "{entry:?} is lost");
    }
}

fn source() -> Header {
    Header {
        store_id: "the store that was exported".to_owned(),
        epoch: 1,
        revision: (1 << 40) + RECORDS as i64,
        compact_revision: 1 << 40,
    }
}

fn record(number: usize) -> Record {
    let revision = (1 << 40) + number as i64 + 1;
    Record {
        key: Some(Key {
            group: "ark.mckinsey.com".to_owned(),
            resource: "queries".to_owned(),
            namespace: "default".to_owned(),
            name: format!("n{number:06}"),
        }),
        revision,
        create_revision: revision,
        value: vec![b'v'; 4000].into(),
        created_at: Some(prost_types::Timestamp::default()),
        updated_at: Some(prost_types::Timestamp::default()),
        ..Record::default()
    }
}

/// Imports one call's worth of records from `first` on, as a slow stream.
async fn bring(client: &Client, first: usize) -> Result<(), tonic::Status> {
    let last = (first + CALL).min(RECORDS);
    let options = Options {
        source: Some(source()),
        keep_epoch: true,
        more: last < RECORDS,
        discard: false,
    };
    let mut parts = vec![Part::Options(options)];
    parts.extend((first..last).step_by(MESSAGE).map(|from| {
        let records = (from..(from + MESSAGE).min(last)).map(record).collect();
        Part::Chunk(Chunk { records })
    }));
    parts.push(Part::Done(Done {
        records: (last - first) as i64,
        events: 0,
    }));
    let requests = parts.into_iter();
    let requests: Vec<_> = requests
        .map(|part| ImportRequest { part: Some(part) })
        .collect();
    let imported = client.clone().import(tokio_stream::iter(requests)).await?;
    assert_eq!(imported.into_inner().records, (last - first) as i64);
    Ok(())
}

/// Continues the import until the store is gone or the import complete; returns the number of
/// acknowledged records.
async fn import_until_dead(client: Client, mut reached: usize) -> usize {
    while reached < RECORDS && bring(&client, reached).await.is_ok() {
        reached = (reached + CALL).min(RECORDS);
    }
    reached
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn import_call_is_atomic_under_kills() {
    let mut program = Program::new();
    let (mut reached, mut kills) = (0, 0);
    while reached < RECORDS {
        let client = program.start().await;
        let mut importer = JoinSet::new();
        importer.spawn(import_until_dead(client, reached));
        // Kill at a different moment each time, and later on slow machines.
        let moment = 3 + (kills * 5) % 17 + kills / 4;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        program.kill();
        kills += 1;
        let confirmed = importer
            .join_next()
            .await
            .expect("a task")
            .expect("importer");

        let client = program.start().await;
        let described = describe(&client).await;
        reached = match described.import_progress {
            Some(progress) => {
                let retained = progress.records as usize;
                assert_eq!(progress.last, record(retained - 1).key);
                assert_eq!(progress.source, Some(source()));
                retained
            }
            None if described.header == Some(source_and_history()) => RECORDS,
            None => 0,
        };
        let next = (confirmed + CALL).min(RECORDS);
        assert!(
            reached == confirmed || reached == next,
            "{reached} after {confirmed}"
        );
        program.kill();
        assert!(kills < 500, "the import never ends");
    }
    let client = program.start().await;
    let (_, records) = list(&client).await;
    assert!(records.into_iter().eq((0..RECORDS).map(record)));
    assert_eq!(create(&client, "next").await, source().revision + 1);
}

/// Returns the header of the source; its history begins at the snapshot.
fn source_and_history() -> Header {
    Header {
        compact_revision: source().revision,
        ..source()
    }
}
