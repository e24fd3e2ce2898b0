//! Fence of the source. It must not stay longer than needed, nor be lifted too early.

use anyhow::Result;
use backend_proto::v1::Header;

use super::Pair;
use crate::output;
use crate::store::Store;

/// Fence of a source whose target is about to take over.
pub(super) struct Fence<'a> {
    source: &'a Store,
    /// Reason of the existing fence, or of the one to be set.
    reason: String,
    state: State,
}

/// Fence ownership. Lift only a fence that this copy set, and never once a closing call may be in
/// flight: from then on the target may begin to serve at any moment, even if it does not report so
/// yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The source is not fenced.
    Absent,
    /// Set by this run, or by an earlier run of this copy that cannot have made the closing call.
    Ours,
    /// Set by an earlier run, which may have made the closing call.
    Closing,
    /// Set by someone else before this copy, who must lift it.
    Foreign,
}

impl<'a> Fence<'a> {
    /// `moved`: the target has taken over.
    pub(super) fn new(pair: &'a Pair, reason: Option<&str>, moved: bool) -> Self {
        let target = &pair.target.address;
        let reason = reason.map_or_else(|| format!("moved to {target}"), str::to_owned);
        let found = &pair.from.fenced;
        let source = pair.from.header.clone().unwrap_or_default();
        let import = pair.to.import_progress.as_ref().filter(|import| {
            let imported = import.source.as_ref();
            imported.is_some_and(|imported| imported.store_id == source.store_id)
        });
        let state = match import {
            _ if found.is_empty() => State::Absent,
            _ if *found != reason => State::Foreign,
            _ if moved => State::Ours,
            // The closing call is made only when everything up to the fence is stored.
            Some(import) if import.revision >= source.revision => State::Closing,
            Some(_) => State::Ours,
            // The target has no unfinished import, so this copy has not set the fence.
            None => State::Foreign,
        };
        Self {
            source: &pair.source,
            reason: if found.is_empty() {
                reason
            } else {
                found.clone()
            },
            state,
        }
    }

    /// Whether an earlier run may have made the closing call.
    pub(super) fn may_be_closing(&self) -> bool {
        self.state == State::Closing
    }

    /// Records that the target has taken over: a closing call in flight has no further effect.
    pub(super) fn closed(&mut self) {
        if self.state == State::Closing {
            self.state = State::Ours;
        }
    }

    /// Sets the fence; no change follows the revision in the response.
    pub(super) async fn raise(&mut self) -> Result<Header> {
        if self.state == State::Foreign {
            return Ok(self.source.head().await?);
        }
        // Set the state before the call: a failed call may have set the fence.
        if self.state == State::Absent {
            self.state = State::Ours;
        }
        Ok(self.source.fence(Some(&self.reason)).await?)
    }

    /// Lifts the fence if this copy owns it, because the target does not take over; otherwise
    /// reports that it stays.
    pub(super) async fn lift(&mut self) {
        let address = &self.source.address;
        let reason = &self.reason;
        match self.state {
            State::Absent => {}
            State::Foreign => output::line(format_args!(
                "{address} stays fenced, as it was before: {reason}"
            )),
            State::Closing => output::line(format_args!(
                "{address} stays fenced: {reason}; an earlier run may have made the closing \
                 call; repeat the command"
            )),
            State::Ours => match self.source.fence(None).await {
                Ok(_) => {
                    self.state = State::Absent;
                    output::line(format_args!(
                        "{address}: lifted the fence, writes are accepted again"
                    ));
                }
                Err(error) => output::line(format_args!(
                    "the fence could not be lifted ({error}): do it with arkctl fence --at \
                     {address} --lift --reason '{reason}'"
                )),
            },
        }
    }
}
