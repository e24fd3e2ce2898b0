//! Exhaustion of revisions. The suite over a socket cannot test it, because the kit imports no
//! store above `LAST_IMPORT`.

use backend_proto::limits::LAST_WRITE;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{Header, Key, Op};
use bytes::Bytes;
use sidecar::driver::{Driver, ImportOptions, ImportPart};
use tokio::sync::mpsc;

/// Asserts that a driver with an empty store writes up to the last revision of changes, and no
/// further.
///
/// # Panics
/// If it rejects earlier, or accepts a change above.
pub async fn write_to_the_last_revision(driver: &dyn Driver) {
    let source = Header {
        store_id: "last".to_owned(),
        epoch: 1,
        revision: LAST_WRITE - 2,
        compact_revision: LAST_WRITE - 2,
    };
    let options = ImportOptions {
        source,
        keep_epoch: true,
        more: false,
        discard: false,
    };
    let (sender, parts) = mpsc::channel(1);
    sender.send(ImportPart::Done).await.expect("room");
    let imported = driver.import(options, parts).await.expect("imported");
    assert_eq!(imported.revision, LAST_WRITE - 2);

    let first = commit(driver, create("a", 1)).await;
    assert_eq!(revision_of(&first), Some(LAST_WRITE - 1));
    let last = commit(driver, create("b", 2)).await;
    assert_eq!(revision_of(&last), Some(LAST_WRITE));
    for op in [
        create("c", 3),
        Op {
            action: Action::Delete.into(),
            value: Bytes::new(),
            ..create("a", 4)
        },
    ] {
        let Verdict::Refused(rejected) = commit(driver, op).await else {
            panic!("a change above the last revision");
        };
        assert_eq!(rejected.reason(), Reason::NotReady);
        assert_eq!(rejected.outcome(), Outcome::NotApplied);
        assert!(rejected.message.contains("arkctl backup"), "{rejected:?}");
    }
    // A retry whose first response was lost must return that it was applied.
    let again = commit(driver, create("b", 2)).await;
    assert_eq!(revision_of(&again), Some(LAST_WRITE));
    let header = driver.header().await.expect("header");
    assert_eq!(header.revision, LAST_WRITE);
}

fn create(name: &str, id: u8) -> Op {
    Op {
        op_id: Bytes::from(vec![id; 16]),
        key: Some(Key {
            group: "last".to_owned(),
            resource: "things".to_owned(),
            name: name.to_owned(),
            ..Key::default()
        }),
        action: Action::Create.into(),
        value: "1".into(),
        ..Op::default()
    }
}

async fn commit(driver: &dyn Driver, op: Op) -> Verdict {
    let mut committed = driver.commit(vec![op]).await.expect("committed");
    let verdict = committed.results.pop().and_then(|result| result.verdict);
    verdict.expect("a verdict")
}

const fn revision_of(verdict: &Verdict) -> Option<i64> {
    match verdict {
        Verdict::Applied(applied) => Some(applied.revision),
        Verdict::Conflict(_) | Verdict::Refused(_) => None,
    }
}
