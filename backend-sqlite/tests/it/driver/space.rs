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
