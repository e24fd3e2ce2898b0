//! Consistency of acknowledged writes, received events and stored objects.

use std::collections::HashMap;

use anyhow::{Result, ensure};

use super::informer::{Picture, Seen};
use super::writer::{Ack, Change};

/// Everything that was recorded.
pub(super) struct Story<'a> {
    /// Objects before the writers started.
    pub(super) before: &'a Picture,
    pub(super) acks: &'a [Ack],
    pub(super) seen: &'a [Seen],
    /// Objects according to the informer.
    pub(super) believed: &'a Picture,
    /// Objects of the final list.
    pub(super) stored: &'a Picture,
}

impl Story<'_> {
    /// Fails with the first inconsistency.
    pub(super) fn judge(&self) -> Result<()> {
        self.every_write_was_seen_once()?;
        self.newest_state_is_stored()?;
        for (name, state) in self.stored {
            let believed = self.believed.get(name);
            ensure!(
                believed == Some(state),
                "{name}: the informer has {believed:?}, the store {state:?}"
            );
        }
        let (believed, stored) = (self.believed.len(), self.stored.len());
        ensure!(
            believed == stored,
            "the informer has {believed} objects, the store {stored}"
        );
        Ok(())
    }

    /// The events of each object are its acknowledged writes: none is missing or repeated.
    fn every_write_was_seen_once(&self) -> Result<()> {
        let mut events: HashMap<&str, Vec<(Change, u64)>> = HashMap::new();
        for seen in self.seen {
            let of = events.entry(&seen.name).or_default();
            of.push((seen.change, seen.revision));
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
    fn judge(change: impl FnOnce(&mut Vec<Seen>, &mut Picture, &mut Picture)) -> bool {
        let quiet = ("quiet".to_owned(), (1, 7));
        let before = Picture::from([quiet]);
        let ack = |change, revision| Ack {
            name: "live".to_owned(),
            change,
            revision,
        };
        let event = |change, revision| Seen {
            name: "live".to_owned(),
            change,
            revision,
        };
        let acks = [ack(Change::Created, Some(2)), ack(Change::Deleted, None)];
        let mut seen = vec![event(Change::Created, 2), event(Change::Deleted, 3)];
        let (mut believed, mut stored) = (before.clone(), before.clone());
        change(&mut seen, &mut believed, &mut stored);
        let story = Story {
            before: &before,
            acks: &acks,
            seen: &seen,
            believed: &believed,
            stored: &stored,
        };
        story.judge().is_ok()
    }

    #[test]
    fn every_deviation_is_found() {
        assert!(judge(|_, _, _| {}));
        assert!(!judge(|seen, _, _| drop(seen.pop())), "a gap");
        assert!(!judge(|seen, _, _| seen.push(seen[1].clone())), "twice");
        assert!(!judge(|seen, _, _| seen[0].revision = 9), "a version");
        assert!(!judge(|_, believed, _| believed.clear()), "a picture");
        let lost = |_: &mut Vec<Seen>, believed: &mut Picture, stored: &mut Picture| {
            believed.clear();
            stored.clear();
        };
        assert!(!judge(lost), "an object");
        let late = |_: &mut Vec<Seen>, believed: &mut Picture, stored: &mut Picture| {
            for picture in [believed, stored] {
                picture.insert("live".to_owned(), (2, 8));
            }
        };
        assert!(!judge(late), "a deletion that was undone");
        let changed = |_: &mut Vec<Seen>, believed: &mut Picture, stored: &mut Picture| {
            for picture in [believed, stored] {
                picture.insert("quiet".to_owned(), (1, 8));
            }
        };
        assert!(!judge(changed), "other content");
    }
}
