//! V: slow readers, and readers that disconnect.

use std::time::{Duration, Instant};

use backend_proto::error::from_status;
use backend_proto::v1::backend_error::Reason;

use super::{Case, case};
use crate::check::{Check, Stop, ensure, same};
use crate::context::{CaseContext, noise};

/// Number and size of the changes: together far more than connections buffer.
const CHANGES: usize = 150;
const BYTES: usize = 120_000;

pub(super) const CASES: &[Case] = &[
    case!(
        "V12-a-slow-watcher-delays-no-other-client",
        slow,
        "A watcher that reads nothing delays neither writers nor other watchers; it is ended with \
         an error or sees everything later, and is never thinned out."
    ),
    case!(
        "V14-disconnected-readers-have-no-effect",
        leave,
        "Watches, lists and exports that are cancelled do not affect the driver."
    ),
];

async fn slow(context: CaseContext) -> Check {
    let start = context.client.current().await?.revision;
    let mut sleeper = context.connect().watch(context.after(start)).await?;
    let mut quick = context.connect().watch(context.after(start)).await?;
    let (mut worst, mut last) = (Duration::ZERO, start);
    for number in 0..CHANGES {
        let op = context.create(&format!("ns/{number}"), noise(number as u64, BYTES));
        let started = Instant::now();
        last = context.client.apply(op).await?.revision;
        let events = quick.until(last).await?;
        worst = worst.max(started.elapsed());
        same!(
            events.len(),
            1,
            "events that the quick watcher saw of one change"
        );
    }
    ensure!(
        worst < Duration::from_secs(5),
        "a change took {worst:?} to reach the quick watcher"
    );
    let mut observed = Vec::new();
    while sleeper.up_to_revision() < last {
        match sleeper.next().await? {
            Ok(batch) => observed.extend(batch.events.iter().map(|event| event.revision)),
            Err(status) => {
                let reason = from_status(&status).map(|error| error.reason());
                same!(
                    reason,
                    Some(Reason::TooSlow),
                    "why the slow watcher was ended"
                );
                let expected: Vec<i64> = (start + 1..).take(observed.len()).collect();
                same!(observed, expected, "what the slow watcher saw before");
                return Ok(());
            }
        }
    }
    same!(
        observed.len(),
        CHANGES,
        "changes that the slow watcher saw in the end"
    );
    Ok(())
}

async fn leave(context: CaseContext) -> Check {
    for number in 0..20 {
        let op = context.create(&format!("ns/{number}"), noise(number, 100_000));
        context.client.apply(op).await?;
    }
    for _ in 0..50 {
        let client = context.connect();
        let mut raw = client.raw();
        let mut list = raw.list(context.all(0)).await?.into_inner();
        list.message().await?;
        let mut watch = raw.watch(context.after(0)).await?.into_inner();
        watch.message().await?;
        drop((list, watch, raw, client));
    }
    let started = Instant::now();
    let listed = context.client.list(context.all(0)).await?;
    same!(listed.records.len(), 20, "records after readers left");
    let mut watch = context.client.watch(context.after(0)).await?;
    let last = context
        .client
        .apply(context.create("ns/last", "1"))
        .await?
        .revision;
    let events = watch.until(last).await?;
    same!(events.len(), 1, "events after readers left");
    let took = started.elapsed();
    if took > Duration::from_secs(5) {
        return Err(Stop::Failed(format!(
            "the driver is slow after readers left: {took:?}"
        )));
    }
    Ok(())
}
