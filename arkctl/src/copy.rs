//! `copy`: copies one store into another, of any driver.
//!
//! Without `--live`, the state at one revision is copied in a single call of Import. With it, the
//! target is filled in many calls while the source serves, follows the source's log, and takes over
//! after the source is fenced; the module `live` documents the steps.

mod fence;
mod live;
mod pipe;
mod plain;
mod plan;
mod state;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use backend_proto::v1::DescribeResponse;
use backend_proto::v1::Record;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::describe_response::Capability;
use tokio::time::sleep;

use crate::args;
use crate::deadlines::Deadlines;
use crate::key;
use crate::output;
use crate::store::{Rejection, Store, can};

/// Pause between attempts to reach a driver.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The stores of a copy, with their descriptions from before it.
pub(crate) struct Pair {
    pub(crate) source: Store,
    pub(crate) target: Store,
    pub(crate) from: DescribeResponse,
    pub(crate) to: DescribeResponse,
}

/// Copies a store.
///
/// # Errors
/// If one of the stores is unusable, or the target's content differs from what was sent.
pub async fn run(arguments: &args::Copy, deadlines: Deadlines) -> Result<()> {
    let source = Store::from(&arguments.from, deadlines)?;
    let target = Store::to(&arguments.to, deadlines)?;
    let deadline = Instant::now() + Duration::from_secs(arguments.wait);
    let (from, to) =
        futures_util::try_join!(described(&source, deadline), described(&target, deadline))?;
    let pair = Pair {
        source,
        target,
        from,
        to,
    };
    if arguments.dry_run {
        return plan::run(&pair, arguments).await;
    }
    if let Some(lack) = pair.lack(arguments.live) {
        bail!(lack);
    }
    if arguments.live {
        live::run(pair, arguments).await
    } else {
        plain::run(&pair, arguments).await
    }
}

/// Describes a store. Until the deadline, repeats the call while the driver is unreachable or
/// starting.
async fn described(store: &Store, deadline: Instant) -> Result<DescribeResponse, Rejection> {
    let mut waiting = false;
    loop {
        let rejection = match store.describe().await {
            Ok(described) => return Ok(described),
            Err(rejection) => rejection,
        };
        let starting = matches!(rejection.reason(), None | Some(Reason::NotReady));
        if !starting || Instant::now() >= deadline {
            return Err(rejection);
        }
        if !waiting {
            output::line(format_args!("waiting for {rejection}"));
            waiting = true;
        }
        sleep(POLL_INTERVAL).await;
    }
}

impl Pair {
    /// Returns the capability that the copy needs and a driver lacks.
    pub(crate) fn lack(&self, live: bool) -> Option<String> {
        let sides = [(&self.source, &self.from), (&self.target, &self.to)];
        for (store, described) in sides {
            let address = &store.address;
            if !can(described, Capability::Export) {
                return Some(format!(
                    "{address}: the driver can neither export nor import"
                ));
            }
            if live && !can(described, Capability::Move) {
                return Some(format!(
                    "{address}: the driver can neither fence nor import in several calls: copy \
                     without --live"
                ));
            }
        }
        let identity = |it: &DescribeResponse| it.header.clone().unwrap_or_default();
        let (from, to) = (identity(&self.from), identity(&self.to));
        let same = self.source.address == self.target.address;
        (same || from.store_id == to.store_id && from == to && self.from.fenced.is_empty())
            .then(|| "source and target are the same store".to_owned())
    }

    /// Maximum value size of the target in bytes.
    pub(crate) fn limit(&self) -> usize {
        let limit = self.to.limits.map_or(0, |limits| limits.value_bytes);
        usize::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX)
    }
}

/// Returns the reason why a record cannot be copied to a store with values of up to `limit` bytes.
pub(crate) fn obstacle(record: &Record, limit: usize) -> Option<String> {
    let key = || key::text(&record.key.clone().unwrap_or_default());
    if !record.unreadable.is_empty() {
        return Some(format!("{}: {}", key(), record.unreadable));
    }
    let size = record.value.len();
    (size > limit).then(|| {
        format!(
            "{}: {size} bytes, and the limit of the target is {limit}",
            key()
        )
    })
}
