//! Rules between writes and events: a revision has one meaning, and a write has one event.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;
use std::sync::Arc;

use super::Facts;
use crate::change::{Event, Key, Kind, Revision};
use crate::fault::Fault;
use crate::history::{Attempt, Outcome};

/// The meaning of a revision, as far as an observer knows it.
struct Meaning<'a> {
    key: &'a Key,
    kind: Kind,
    number: u64,
    digest: Option<u64>,
    author: Option<&'a Arc<str>>,
}

/// Identity of a write.
type Identity<'a> = (&'a Key, Kind, u64);

impl<'a> Facts<'a> {
    /// A revision identifies one change: at writers, watchers and in lists.
    pub(super) fn changes_are_unique(&mut self) {
        let mut meanings: BTreeMap<Revision, Meaning<'a>> = BTreeMap::new();
        let mut found = Vec::new();
        for attempt in self.history.acknowledged() {
            let Some(revision) = attempt.revision() else {
                continue;
            };
            match meanings.entry(revision) {
                // Two acknowledged writes are two changes, even if they look alike.
                Entry::Occupied(known) => {
                    found.push((revision, known.get().to_string(), attempt.to_string()));
                }
                Entry::Vacant(place) => {
                    place.insert(Meaning::of_attempt(attempt));
                }
            }
        }
        let logs = self.history.watches.iter();
        for arrival in logs.flat_map(|log| log.arrivals()) {
            let event = &arrival.event;
            match meanings.entry(event.revision) {
                Entry::Occupied(mut known) => {
                    if known.get().differs(&Meaning::of_event(event)) {
                        let other = Meaning::of_event(event).to_string();
                        found.push((event.revision, known.get().to_string(), other));
                    }
                    known.get_mut().digest.get_or_insert(event.digest);
                }
                Entry::Vacant(place) => {
                    place.insert(Meaning::of_event(event));
                }
            }
        }
        let segments = self.history.watches.iter().flat_map(|log| &log.segments);
        let listed = segments.filter_map(|segment| segment.listed.as_deref());
        for listing in listed.chain(&self.history.stored) {
            for (key, object) in &listing.objects {
                let Some(known) = meanings.get(&object.revision) else {
                    continue;
                };
                let same = known.key == key
                    && known.kind != Kind::Deleted
                    && known.number == object.number
                    && known.digest.is_none_or(|digest| digest == object.digest);
                if !same {
                    let other = format!("write {} of {key} in a list", object.number);
                    found.push((object.revision, known.to_string(), other));
                }
            }
        }
        for (revision, one, mut other) in found {
            if one == other {
                other.push_str(" with other content");
            }
            self.fault(Fault::TwoMeanings {
                revision,
                one,
                other,
            });
        }
    }

    /// Every event is the effect of a write, and no write has two. A write that a new epoch has
    /// overtaken may have an event in an earlier one only.
    pub(super) fn every_event_has_a_write(&mut self) {
        let attempts = self.history.attempts.iter();
        let mut writes: HashMap<Identity<'_>, (&Outcome, Option<&Event>)> = attempts
            .map(|attempt| (attempt.identity(), (&attempt.outcome, None)))
            .collect();
        let current = self.epochs.last().copied();
        let mut found = Vec::new();
        for event in self.delivered.values().copied() {
            if self.history.foreign.contains(&event.key) {
                continue;
            }
            match writes.get_mut(&(&event.key, event.kind, event.number)) {
                None => found.push(Fault::Unexplained(format!("event {event}"))),
                Some((Outcome::Overtaken, _)) if self.epoch(event.revision) == current => {
                    found.push(Fault::Unexplained(format!("event {event}")));
                }
                // A new epoch may have lost the first effect.
                Some((_, Some(first)))
                    if self.epoch(first.revision) == self.epoch(event.revision) =>
                {
                    found.push(Fault::AppliedTwice {
                        one: first.to_string(),
                        other: event.to_string(),
                    });
                }
                Some((_, place)) => *place = Some(event),
            }
        }
        for fault in found {
            self.fault(fault);
        }
    }

    /// Every acknowledged write is in a watch from before the first write. A new epoch may lose
    /// writes; [`Facts::watch`] checks those of each epoch.
    pub(super) fn every_write_was_delivered(&mut self) {
        let start = self.history.baseline.revision;
        let mut segments = self.history.watches.iter().flat_map(|log| &log.segments);
        if self.may_change || !segments.any(|segment| segment.start <= start) {
            return;
        }
        let events = self.delivered.values();
        let delivered: HashMap<Identity<'_>, Revision> = events
            .map(|event| ((&event.key, event.kind, event.number), event.revision))
            .collect();
        let mut found = Vec::new();
        for attempt in self.history.acknowledged() {
            if !delivered.contains_key(&attempt.identity()) {
                found.push(attempt.to_string());
            }
        }
        for write in found {
            self.fault(Fault::NotDelivered { write });
        }
    }
}

// === impl Meaning ===

impl<'a> Meaning<'a> {
    const fn of_attempt(attempt: &'a Attempt) -> Self {
        let digest = match attempt.outcome {
            Outcome::Acknowledged { digest, .. } => digest,
            Outcome::Unknown | Outcome::Overtaken => None,
        };
        Self {
            key: &attempt.key,
            kind: attempt.kind,
            number: attempt.number,
            digest,
            author: attempt.author.as_ref(),
        }
    }

    const fn of_event(event: &'a Event) -> Self {
        Self {
            key: &event.key,
            kind: event.kind,
            number: event.number,
            digest: Some(event.digest),
            author: event.author.as_ref(),
        }
    }

    fn differs(&self, other: &Self) -> bool {
        let differ = |one: Option<u64>, other: Option<u64>| {
            one.zip(other).is_some_and(|(one, other)| one != other)
        };
        (self.key, self.kind, self.number) != (other.key, other.kind, other.number)
            || differ(self.digest, other.digest)
            || self.author != other.author
    }
}

impl fmt::Display for Meaning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} (write {})", self.kind, self.key, self.number)?;
        self.author
            .map_or(Ok(()), |author| write!(f, " by {author}"))
    }
}

// === impl Attempt ===

impl Attempt {
    pub(super) fn identity(&self) -> Identity<'_> {
        (&self.key, self.kind, self.number)
    }
}
