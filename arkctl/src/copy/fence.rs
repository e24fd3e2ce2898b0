//! The source's fence, which must not stand longer than it is needed.

use anyhow::Result;
use backend_proto::v1::Header;

use super::Pair;
use crate::store::Store;
use crate::tell;

/// The fence of a source whose target is about to take over.
pub(super) struct Fence<'a> {
    source: &'a Store,
    reason: String,
    /// Somebody else had fenced the source before: it is theirs to lift.
    foreign: bool,
    raised: bool,
}

impl<'a> Fence<'a> {
    /// `resumed`: an earlier run had begun to fill the target, so that a fence with our reason is
    /// that run's.
    pub(super) fn new(pair: &'a Pair, reason: Option<&str>, resumed: bool) -> Self {
        let target = &pair.target.address;
        let reason = reason.map_or_else(|| format!("moved to {target}"), str::to_owned);
        let found = &pair.from.fenced;
        let ours = *found == reason;
        Self {
            source: &pair.source,
            foreign: !found.is_empty() && !ours,
            raised: ours && resumed,
            reason,
        }
    }

    /// From now on no change comes after the answer's revision.
    pub(super) async fn raise(&mut self) -> Result<Header> {
        if self.foreign {
            return Ok(self.source.head().await?);
        }
        // Before the call, because an error may come after it was done.
        self.raised = true;
        Ok(self.source.fence(Some(&self.reason)).await?)
    }

    /// Lifts the fence, if it is ours, because the target does not take over.
    pub(super) async fn lift(&mut self) {
        if !self.raised {
            return;
        }
        let address = &self.source.address;
        match self.source.fence(None).await {
            Ok(_) => {
                self.raised = false;
                tell::line(format_args!(
                    "{address}: the fence is lifted, writes are served again"
                ));
            }
            Err(error) => tell::line(format_args!(
                "the fence could not be lifted ({error}): do it with arkctl fence --at {address} \
                 --lift"
            )),
        }
    }
}
