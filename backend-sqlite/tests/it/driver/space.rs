//! Tests of a full quota: deletes and reads continue, and writes resume once there is space.

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::op_result::Verdict;
use sidecar::driver::{Driver as _, DriverHealth};

use crate::driver::store::{Store, all, applied, create, delete, refused, update};

#[tokio::test]
async fn full_store_serves_deletes_and_reads_and_recovers() {
    let store = Store::with(|options| {
        options.max_pages = Some(600);
        options.ballast_bytes = 100 * 4096;
        options.low_space_bytes = 20 * 4096;
    });
    let value = "v".repeat(3000);
    let mut stored = Vec::new();
    loop {
        let name = format!("a/{:04}", stored.len());
        let committed = store.commit(vec![create(&name, &value)]).await;
        match &committed.results[0].verdict {
            Some(Verdict::Applied(_)) => stored.push(name),
            _ => {
                assert_eq!(refused(&committed.results[0]).reason(), Reason::NoSpace);
                break;
            }
        }
        assert!(stored.len() < 600, "the limit is never reached");
    }
    assert!(matches!(
        store.driver.health().await,
        DriverHealth::NoSpace(_)
    ));
    assert_eq!(store.names(all()).await, stored);

    let (gone, retained) = stored.split_at(stored.len() - 10);
    let first = vec![
        delete(&gone[0]),
        update(&retained[0], "new"),
        delete(&gone[1]),
    ];
    let committed = store.commit(first).await;
    applied(&committed.results[0]);
    assert_eq!(refused(&committed.results[1]).reason(), Reason::NoSpace);
    applied(&committed.results[2]);
    for name in &gone[2..] {
        store.apply(delete(name)).await;
    }
    assert_eq!(store.names(all()).await, retained);

    let head = store.driver.header().await.expect("header");
    store.driver.compact(head.revision).await.expect("compact");
    // Space is checked at most every 250 ms.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while store.driver.health().await != DriverHealth::Ready {
        assert!(tokio::time::Instant::now() < deadline, "never ready again");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(
        store.apply(create("a/again", &value)).await,
        head.revision + 1
    );
}

#[tokio::test]
async fn file_shrinks_under_steady_writes() {
    let store = Store::new();
    let value = "v".repeat(20_000);
    for batch in 0..20 {
        let ops = (0..100).map(|number| create(&format!("a/{batch:02}-{number:02}"), &value));
        store.commit(ops.collect()).await;
    }
    for batch in 0..20 {
        let ops = (0..98).map(|number| delete(&format!("a/{batch:02}-{number:02}")));
        store.commit(ops.collect()).await;
    }
    let size = || std::fs::metadata(store.path()).expect("a file").len();
    let live = 40 * 20_000;
    // Writes never pause for a second. Retention is that of the kit, and runs once a minute there.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
    let mut largest = 0;
    for number in 0.. {
        let name = format!("a/{:02}-98", number % 20);
        store
            .apply(update(&name, &format!("{number}-{value}")))
            .await;
        largest = largest.max(size());
        if number % 20 == 0 {
            let head = store.driver.header().await.expect("header").revision;
            store.driver.compact(head).await.expect("compact");
        }
        if largest > 20 * live && size() < 2 * live {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{} of {largest} bytes for {live}",
            size()
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn log_is_given_back_when_idle() {
    let store = Store::new();
    let value = "v".repeat(3 << 20);
    for number in 0..8 {
        store.apply(create(&format!("a/{number}"), &value)).await;
    }
    let log = store.folder.path().join("ark.db-wal");
    let size = || std::fs::metadata(&log).expect("a log").len();
    assert!(size() > 8 << 20, "{}", size());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while size() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "{}", size());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    store.apply(create("a/x", "1")).await;
}
