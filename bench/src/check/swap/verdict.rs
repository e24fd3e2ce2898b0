//! Consistency of acknowledged writes, received events and stored objects.

use std::collections::HashMap;

use anyhow::{Result, ensure};

use super::informer::{ReceivedEvent, Snapshot};
use super::writer::{Ack, Change};

/// Everything that was recorded.
pub(super) struct RunRecord<'a> {
    /// Objects before the writers started.
    pub(super) before: &'a Snapshot,
    pub(super) acks: &'a [Ack],
    pub(super) received: &'a [ReceivedEvent],
    /// Objects according to the informer.
    pub(super) informer_state: &'a Snapshot,
    /// Objects of the final list.
    pub(super) stored: &'a Snapshot,
}

impl RunRecord<'_> {
    /// Fails with the first inconsistency.
    pub(super) fn validate(&self) -> Result<()> {
        self.every_write_arrived_once()?;
        self.newest_state_is_stored()?;
        for (name, state) in self.stored {
            let informer_state = self.informer_state.get(name);
            ensure!(
                informer_state == Some(state),
                "{name}: the informer has {informer_state:?}, the store {state:?}"
            );
        }
        let (informer_state, stored) = (self.informer_state.len(), self.stored.len());
        ensure!(
            informer_state == stored,
            "the informer has {informer_state} objects, the store {stored}"
        );
        Ok(())
    }

    /// The events of each object are its acknowledged writes: none is missing or repeated.
    fn every_write_arrived_once(&self) -> Result<()> {
        let mut events: HashMap<&str, Vec<(Change, u64)>> = HashMap::new();
        for received in self.received {
            let of = events.entry(&received.name).or_default();
            of.push((received.change, received.revision));
        }
        let mut writes: HashMap<&str, Vec<(Change, Option<u64>)>> = HashMap::new();
        for ack in self.acks {
            let of = writes.entry(&ack.name).or_default();
            of.push((ack.change, ack.revision));
        }
        for (name, writes) in &writes {
            let events = events.remove(name).unwrap_or_default();
            let pairs = writes.iter().zip(&events);
            let fits = |((change, revision), event): (&(Change, Option<u64>), &(Change, u64))| {
                *change == event.0 && revision.is_none_or(|revision| revision == event.1)
            };
            ensure!(
                writes.len() == events.len() && pairs.into_iter().all(fits),
                "{name}: acknowledged {writes:?}, received {events:?}"
            );
        }
        let stray = events.keys().next();
        ensure!(
            stray.is_none(),
            "event without an acknowledged write: {stray:?}"
        );
        Ok(())
    }

    /// The list has the last acknowledged state of every written object and the initial state of
    /// all others.
    fn newest_state_is_stored(&self) -> Result<()> {
        let mut newest: HashMap<&str, &Ack> = HashMap::new();
        for ack in self.acks {
            newest.insert(&ack.name, ack);
        }
        for (name, ack) in &newest {
            let stored = self.stored.get(*name).map(|(revision, _)| *revision);
            ensure!(
                stored == ack.revision,
                "{name}: acknowledged {:?} at {:?}, stored at {stored:?}",
                ack.change,
                ack.revision
            );
        }
        for (name, state) in self.before {
            let stored = self.stored.get(name);
            ensure!(
                newest.contains_key(name.as_str()) || stored == Some(state),
                "{name}: changed without a write from {state:?} to {stored:?}"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One object that no client writes, and one that is created and deleted.
    fn validate(
        change: impl FnOnce(&mut Vec<ReceivedEvent>, &mut Snapshot, &mut Snapshot),
    ) -> bool {
        let quiet = ("quiet".to_owned(), (1, 7));
        let before = Snapshot::from([quiet]);
        let ack = |change, revision| Ack {
            name: "live".to_owned(),
            change,
            revision,
        };
        let event = |change, revision| ReceivedEvent {
            name: "live".to_owned(),
            change,
            revision,
        };
        let acks = [ack(Change::Created, Some(2)), ack(Change::Deleted, None)];
        let mut received = vec![event(Change::Created, 2), event(Change::Deleted, 3)];
        let (mut informer_state, mut stored) = (before.clone(), before.clone());
        change(&mut received, &mut informer_state, &mut stored);
        let record = RunRecord {
            before: &before,
            acks: &acks,
            received: &received,
            informer_state: &informer_state,
            stored: &stored,
        };
        record.validate().is_ok()
    }

    #[test]
    fn validate_rejects_every_inconsistency() {
        assert!(validate(|_, _, _| {}));
        assert!(!validate(|received, _, _| drop(received.pop())), "a gap");
        assert!(
            !validate(|received, _, _| received.push(received[1].clone())),
            "twice"
        );
        assert!(
            !validate(|received, _, _| received[0].revision = 9),
            "a version"
        );
        assert!(
            !validate(|_, informer_state, _| informer_state.clear()),
            "a picture"
        );
        let lost =
            |_: &mut Vec<ReceivedEvent>, informer_state: &mut Snapshot, stored: &mut Snapshot| {
                informer_state.clear();
                stored.clear();
            };
        assert!(!validate(lost), "an object");
        let undeleted =
            |_: &mut Vec<ReceivedEvent>, informer_state: &mut Snapshot, stored: &mut Snapshot| {
                for snapshot in [informer_state, stored] {
                    snapshot.insert("live".to_owned(), (2, 8));
                }
            };
        assert!(!validate(undeleted), "a deletion that was undone");
        let changed =
            |_: &mut Vec<ReceivedEvent>, informer_state: &mut Snapshot, stored: &mut Snapshot| {
                for snapshot in [informer_state, stored] {
                    snapshot.insert("quiet".to_owned(), (1, 8));
                }
            };
        assert!(!validate(changed), "other content");
    }
}
