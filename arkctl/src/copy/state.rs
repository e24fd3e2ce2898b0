//! Initial state of a move, which may continue an earlier run.

use anyhow::{Result, ensure};
use backend_proto::v1::{Header, ImportProgress, Key};

use super::Pair;

/// Remaining work.
pub(super) enum State {
    /// Everything.
    Fresh {
        /// Drop the target's unfinished import first.
        discard: bool,
    },
    /// Records of the snapshot after a key, then the log.
    Records {
        source: Header,
        last: Option<Key>,
        /// Number of records so far.
        records: u64,
    },
    /// The log after a revision.
    Events { source: Header, revision: i64 },
    /// Nothing: the target has taken over at this revision.
    Moved { revision: i64 },
}

impl State {
    /// Determines the state from the descriptions of both stores.
    pub(super) fn of(pair: &Pair, restart: bool) -> Result<Self> {
        let from = pair.from.header.clone().unwrap_or_default();
        let to = pair.to.header.clone().unwrap_or_default();
        let Some(import) = &pair.to.import_progress else {
            let same = from.store_id == to.store_id && from.epoch == to.epoch;
            let moved = same && !pair.from.fenced.is_empty() && to.revision >= from.revision;
            let revision = from.revision;
            return Ok(if moved {
                Self::Moved { revision }
            } else {
                Self::Fresh { discard: false }
            });
        };
        if restart {
            return Ok(Self::Fresh { discard: true });
        }
        let ImportProgress {
            source,
            last,
            revision,
            records,
        } = import.clone();
        let source = source.unwrap_or_default();
        ensure!(
            source.store_id == from.store_id && source.epoch == from.epoch,
            "{}: an unfinished copy of another store is there: --restart drops it",
            pair.target.address
        );
        Ok(if revision > source.revision {
            Self::Events { source, revision }
        } else {
            let records = u64::try_from(records).unwrap_or_default();
            Self::Records {
                source,
                last,
                records,
            }
        })
    }
}
