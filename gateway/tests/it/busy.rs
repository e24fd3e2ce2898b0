//! A pool whose only thread is occupied, so that heavy work queues.

use std::pin::pin;
use std::sync::mpsc;

use gateway::compute::Pool;
use tokio::sync::oneshot;

/// Weight of work that never runs inline.
const HEAVY: usize = 1 << 20;

/// Occupies the only thread of a pool until the returned sender is dropped.
pub(crate) async fn busy(compute: &Pool) -> mpsc::SyncSender<()> {
    let (release, wait) = mpsc::sync_channel::<()>(1);
    let (began, begun) = oneshot::channel();
    let client = compute.of("keeper");
    let job = pin!(client.run_accepted(HEAVY, move |_| {
        began.send(()).expect("the test waits");
        // Returns when the sender is dropped.
        let _ = wait.recv();
    }));
    assert!(futures_util::poll!(job).is_pending());
    begun.await.expect("begun");
    release
}
