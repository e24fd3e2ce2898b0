//! Rules of watches: order, completeness, and the state that events add up to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Facts, shown};
use crate::change::{Event, Key, Kind, Object, Revision};
use crate::fault::Fault;
use crate::history::{Segment, WatchLog};

impl<'a> Facts<'a> {
    /// Checks one watcher.
    pub(super) fn watch(&mut self, log: &'a WatchLog) {
        let name = &log.name;
        for (index, segment) in log.segments.iter().enumerate() {
            if index > 0 && !self.may_change {
                self.fault(Fault::Relisted {
                    watcher: name.clone(),
                    at: segment.start,
                    reason: log.ends.last().cloned().unwrap_or_default(),
                });
            }
            self.order(name, segment);
            self.completeness(name, segment);
            let state = self.replay(name, segment);
            if index + 1 == log.segments.len() {
                self.end(name, segment, state);
            }
        }
    }

    /// Revisions increase within one epoch.
    fn order(&mut self, watcher: &str, segment: &Segment) {
        let mut after = segment.start;
        for arrival in &segment.arrivals {
            let event = &arrival.event;
            if event.revision <= after {
                self.fault(Fault::Disorder {
                    watcher: watcher.to_owned(),
                    event: event.to_string(),
                    after,
                });
            }
            let start = self.epoch(segment.start);
            if start.is_some() && self.epoch(event.revision) != start {
                self.fault(Fault::CrossedEpoch {
                    watcher: watcher.to_owned(),
                    start: segment.start,
                    event: event.to_string(),
                });
            }
            after = after.max(event.revision);
        }
    }

    /// Every change between start and end was received: those that writers were acknowledged, and
    /// those that other watchers received.
    fn completeness(&mut self, watcher: &str, segment: &Segment) {
        let arrivals = segment.arrivals.iter();
        let received: BTreeSet<Revision> = arrivals.map(|it| it.event.revision).collect();
        let within = |at: Revision| segment.start < at && at <= segment.end;
        let mut missed: BTreeMap<Revision, String> = BTreeMap::new();
        for attempt in self.history.acknowledged() {
            let Some(at) = attempt.revision().filter(|at| within(*at)) else {
                continue;
            };
            if !received.contains(&at) {
                missed.insert(at, attempt.to_string());
            }
        }
        for (at, event) in &self.delivered {
            if within(*at) && !received.contains(at) {
                missed.entry(*at).or_insert_with(|| event.to_string());
            }
        }
        for event in missed.into_values() {
            self.fault(Fault::Missed {
                watcher: watcher.to_owned(),
                start: segment.start,
                end: segment.end,
                event,
            });
        }
    }

    /// Every event follows from the state before it; returns the state at the end, if the state at
    /// the start is known.
    fn replay(&mut self, watcher: &str, segment: &'a Segment) -> Option<BTreeMap<Key, Object>> {
        let mut state = segment.listed.as_ref()?.objects.clone();
        for arrival in &segment.arrivals {
            let event = &arrival.event;
            let before = state.get(&event.key);
            if !follows(event, before) {
                let state = shown(before);
                self.fault(Fault::Unexpected {
                    watcher: watcher.to_owned(),
                    event: event.to_string(),
                    state,
                });
            }
            match event.kind {
                Kind::Deleted => {
                    state.remove(&event.key);
                }
                Kind::Created | Kind::Updated => {
                    let object = Object {
                        revision: event.revision,
                        number: event.number,
                        digest: event.digest,
                    };
                    state.insert(event.key.clone(), object);
                }
            }
        }
        Some(state)
    }

    /// The watcher has received everything, and its state is the final one.
    fn end(&mut self, name: &str, segment: &Segment, state: Option<BTreeMap<Key, Object>>) {
        let Some(last) = self.history.stored.first() else {
            return;
        };
        if segment.end < last.revision {
            self.fault(Fault::Behind {
                watcher: name.to_owned(),
                position: segment.end,
                due: last.revision,
            });
            return;
        }
        if let Some(state) = state {
            self.compare(name, &state, &last.objects);
        }
    }

    /// Compares two states.
    pub(super) fn compare(
        &mut self,
        observer: &str,
        one: &BTreeMap<Key, Object>,
        other: &BTreeMap<Key, Object>,
    ) {
        let keys = one
            .keys()
            .chain(other.keys().filter(|key| !one.contains_key(*key)));
        for key in keys {
            let (mine, theirs) = (one.get(key), other.get(key));
            if mine != theirs {
                let same = shown(mine) == shown(theirs);
                let suffix = if same { ", with other content" } else { "" };
                self.fault(Fault::Diverged {
                    observer: observer.to_owned(),
                    key: key.clone(),
                    one: shown(mine),
                    other: format!("{}{suffix}", shown(theirs)),
                });
            }
        }
    }
}

fn follows(event: &Event, before: Option<&Object>) -> bool {
    let stored = before.map_or(Revision::default(), |object| object.revision);
    let previous = event.previous.is_none_or(|previous| previous == stored);
    let fits = match (event.kind, before) {
        (Kind::Created, None) | (Kind::Updated, Some(_)) => true,
        // The event of a deletion has the deleted content.
        (Kind::Deleted, Some(object)) => {
            (event.number, event.digest) == (object.number, object.digest)
        }
        (Kind::Created, Some(_)) | (Kind::Updated | Kind::Deleted, None) => false,
    };
    previous && fits
}
