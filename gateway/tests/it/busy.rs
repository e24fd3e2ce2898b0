//! A pool that does nothing, so that what needs it waits.

use std::pin::pin;
use std::sync::mpsc;

use gateway::compute::Pool;
use tokio::sync::oneshot;

/// Work that no pool leaves where it was asked for.
const HEAVY: usize = 1 << 20;

/// Keeps the only thread of a pool until what is returned is dropped.
pub(crate) async fn busy(compute: &Pool) -> mpsc::SyncSender<()> {
    let (release, wait) = mpsc::sync_channel::<()>(1);
    let (began, begun) = oneshot::channel();
    let client = compute.of("keeper");
    let job = pin!(client.run_accepted(HEAVY, move |_| {
        began.send(()).expect("somebody waits");
        // Until the sender is dropped.
        let _ = wait.recv();
    }));
    assert!(futures_util::poll!(job).is_pending());
    begun.await.expect("begun");
    release
}
