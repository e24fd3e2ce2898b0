//! The source's fence, which must not stand longer than it is needed, nor be lifted too early.

use anyhow::Result;
use backend_proto::v1::Header;

use super::Pair;
use crate::store::Store;
use crate::tell;

/// The fence of a source whose target is about to take over.
pub(super) struct Fence<'a> {
    source: &'a Store,
    /// What clients are told: of the fence that was found, or of the one to be raised.
    reason: String,
    state: State,
}

/// Whose the fence is. Only one that this copy raised may be lifted, and only while no closing call
/// can be under way: from such a call on the target may begin to serve at any moment, although it
/// does not yet say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none.
    Absent,
    /// This run's, or that of an earlier run of this copy that cannot have made the closing call.
    Ours,
    /// An earlier run's, which may have made the closing call.
    Closing,
    /// Somebody else had fenced the source before: it is theirs to lift.
    Foreign,
}

impl<'a> Fence<'a> {
    /// `moved`: the target has taken over.
    pub(super) fn new(pair: &'a Pair, reason: Option<&str>, moved: bool) -> Self {
        let target = &pair.target.address;
        let reason = reason.map_or_else(|| format!("moved to {target}"), str::to_owned);
        let found = &pair.from.fenced;
        let source = pair.from.header.clone().unwrap_or_default();
        let import = pair.to.import.as_ref().filter(|import| {
            let imported = import.source.as_ref();
            imported.is_some_and(|imported| imported.store_id == source.store_id)
        });
        let state = match import {
            _ if found.is_empty() => State::Absent,
            _ if *found != reason => State::Foreign,
            _ if moved => State::Ours,
            // The closing call is made when everything up to the fence is kept, and not before.
            Some(import) if import.revision >= source.revision => State::Closing,
            Some(_) => State::Ours,
            // The target knows nothing of a copy that would have raised it.
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

    /// The target has taken over: no closing call can do anything any more.
    pub(super) fn closed(&mut self) {
        if self.state == State::Closing {
            self.state = State::Ours;
        }
    }

    /// From now on no change comes after the answer's revision.
    pub(super) async fn raise(&mut self) -> Result<Header> {
        if self.state == State::Foreign {
            return Ok(self.source.head().await?);
        }
        // Before the call, because an error may come after it was done.
        if self.state == State::Absent {
            self.state = State::Ours;
        }
        Ok(self.source.fence(Some(&self.reason)).await?)
    }

    /// Lifts the fence, if that is ours to do, because the target does not take over; or tells that
    /// it stands.
    pub(super) async fn lift(&mut self) {
        let address = &self.source.address;
        let reason = &self.reason;
        match self.state {
            State::Absent => {}
            State::Foreign => tell::line(format_args!(
                "{address} stays fenced, as it was before: {reason}"
            )),
            State::Closing => tell::line(format_args!(
                "{address} stays fenced: {reason}. An earlier run may have told the target to take \
                 over; give the same command again"
            )),
            State::Ours => match self.source.fence(None).await {
                Ok(_) => {
                    self.state = State::Absent;
                    tell::line(format_args!(
                        "{address}: the fence is lifted, writes are served again"
                    ));
                }
                Err(error) => tell::line(format_args!(
                    "the fence could not be lifted ({error}): do it with arkctl fence --at \
                     {address} --lift"
                )),
            },
        }
    }
}
