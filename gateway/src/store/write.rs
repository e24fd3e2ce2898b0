//! Outcomes of writes.

use std::sync::Arc;

use crate::backend::{Record, Verdict};
use crate::compute::{Client, Run};
use crate::store::load::Loader;
use crate::store::{StoreError, Stored, WriteOutcome};

/// The outcome of a verdict. The stored object of a conflict is decoded on the pool if it is large.
///
/// # Errors
/// [`StoreError::Unreadable`] if that object cannot be decoded.
pub(super) async fn outcome(
    compute: &Client,
    verdict: Verdict<Record>,
    loader: &Arc<Loader>,
) -> Result<WriteOutcome, StoreError> {
    let (cause, current) = match verdict {
        Verdict::Applied { revision, noop } => return Ok(Verdict::Applied { revision, noop }),
        Verdict::Conflict { cause, current } => (cause, current),
    };
    let current: Option<Arc<Stored>> = match current {
        None => None,
        Some(record) => {
            let (weight, loader) = (record.size(), Arc::clone(loader));
            let load = move |_: &Run| loader.slot(&record);
            let slot = compute.run_accepted(weight, load).await;
            Some(slot.into_object()?)
        }
    };
    Ok(Verdict::Conflict { cause, current })
}
