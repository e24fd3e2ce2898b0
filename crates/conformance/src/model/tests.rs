//! Tests of what the suite cannot observe: chunks, pages of the log, and retention.

use std::time::Duration;

use backend_proto::limits::CHUNK_BYTES;
use backend_proto::v1::op::Action;
use backend_proto::v1::{Key, Op, Record};
use prost::Message as _;
use sidecar::driver::{Driver as _, ImportOptions, ImportPart};

use super::{ModelDriver, chunks};

async fn filled(count: usize, bytes: usize) -> ModelDriver {
    let model = ModelDriver::new();
    for number in 0..count {
        let op = Op {
            key: Some(Key {
                resource: "things".to_owned(),
                name: format!("n{number}"),
                ..Key::default()
            }),
            action: Action::Create.into(),
            value: vec![b'v'; bytes].into(),
            ..Op::default()
        };
        model.commit(vec![op]).await.expect("committed");
    }
    model
}

#[test]
fn chunks_are_bounded_and_complete() {
    let record = |bytes: usize| Record {
        value: vec![0; bytes].into(),
        ..Record::default()
    };
    let sizes = [1, 600_000, 1, 300_000, 300_000, 2];
    let chunks = chunks(sizes.map(record).into());
    let counts: Vec<usize> = chunks.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 1, 2, 2]);
    for chunk in chunks {
        let bytes: usize = chunk.iter().map(Record::encoded_len).sum();
        assert!(bytes <= CHUNK_BYTES || chunk.len() == 1);
    }
}

#[tokio::test]
async fn log_pages_have_no_gaps() {
    let model = filled(10, 1000).await;
    let head = model.header().await.expect("header").revision;
    let (mut after, mut pages) = (head - 10, Vec::new());
    while after < head {
        let page = model.read_log(after, 2500).await.expect("page");
        assert_eq!(page.events[0].revision, after + 1);
        after = page.up_to_revision;
        pages.push(page.events.len());
    }
    assert_eq!(pages.iter().sum::<usize>(), 10);
    assert!(pages.len() > 2, "{pages:?}");
}

#[tokio::test]
async fn retention_keeps_recent_and_last_changes() {
    let model = filled(10, 1).await;
    let head = model.header().await.expect("header").revision;
    let target = |keep, events| model.retention_target(Duration::from_secs(keep), events);
    assert_eq!(target(3600, 0).await.expect("target"), None);
    assert_eq!(target(0, 4).await.expect("target"), Some(head - 4));
    assert_eq!(target(0, 10).await.expect("target"), None);
}

#[tokio::test]
async fn clone_shares_the_store_and_fork_does_not() {
    let model = filled(1, 1).await;
    let (clone, fork) = (model.clone(), model.fork());
    let revision = |model: &ModelDriver| {
        let model = model.clone();
        async move { model.header().await.expect("header").revision }
    };
    let head = revision(&model).await;
    model.compact(head).await.expect("compacted");
    assert_eq!(clone.header().await.expect("header").compact_revision, head);
    assert!(fork.header().await.expect("header").compact_revision < head);
}

#[tokio::test]
async fn store_without_records_in_a_new_epoch_is_empty() {
    let model = ModelDriver::new();
    let options = ImportOptions {
        source: model.header().await.expect("header"),
        keep_epoch: false,
        more: false,
        discard: false,
    };
    let nothing = || async {
        let (sender, parts) = tokio::sync::mpsc::channel(1);
        sender.send(ImportPart::Done).await.expect("room");
        model.import(options.clone(), parts).await
    };
    let first = nothing().await.expect("into an empty store");
    assert!(nothing().await.expect("into an empty store").epoch > first.epoch);
}
