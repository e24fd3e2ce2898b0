//! Linearizability of random concurrent histories (W3), and watches checked against them (V1 to
//! V8).
//!
//! Clients run random operations on a few keys and record begin, end and result of each call. Keys
//! are independent, so each key's operations are checked separately for a linearization as a
//! register.

mod history;
mod register;

use std::collections::{BTreeMap, HashMap};

use backend_proto::v1::event::Type;
use backend_proto::v1::{Event, Record};

use self::history::{Recorded, record};
use self::register::{Found, Outcome, linearizable};
use crate::check::{Check, Stop, ensure, same, some};
use crate::context::CaseContext;
use crate::key::path_of;
use crate::replay::Replay;

/// Histories per run, each with its own seed.
const HISTORIES: u64 = 4;

/// Maximum states per search: far more than a correct history needs.
const STATES: usize = 2_000_000;

pub(crate) async fn case(context: CaseContext) -> Check {
    let factor = if context.run_options.long { 10 } else { 1 };
    for number in 0..HISTORIES * factor {
        one(&context, number).await?;
    }
    Ok(())
}

async fn one(context: &CaseContext, number: u64) -> Check {
    let start = context.client.current().await?.revision;
    let seed = context.run_options.seed.wrapping_add(number);
    let prefix = format!("h{number}");
    let history = record(context, seed, &prefix).await?;
    let last = context.client.current().await?.revision;
    let events = context
        .connect()
        .watch(context.after(start))
        .await?
        .until(last)
        .await?;
    // A write of an earlier history whose caller gave up may be applied now.
    let own = |event: &Event| {
        let key = event.record.as_ref().and_then(|record| record.key.as_ref());
        key.is_none_or(|key| path_of(key).starts_with(&format!("{prefix}/")))
    };
    let events: Vec<Event> = events.into_iter().filter(own).collect();
    let blame = |stop| match stop {
        Stop::Failed(sentence) => Stop::Failed(format!("{sentence} (seed {seed})")),
        skipped @ Stop::Skipped(_) => skipped,
    };
    check_registers(&history).map_err(blame)?;
    check_events(&history, &events).map_err(blame)
}

/// Asserts that the operations of each key have a linearization.
fn check_registers(history: &[Recorded]) -> Check {
    let mut keys: BTreeMap<&str, Vec<register::Operation>> = BTreeMap::new();
    for recorded in history {
        keys.entry(&recorded.path)
            .or_default()
            .push(recorded.operation.clone());
    }
    for (key, operations) in keys {
        match linearizable(&operations, STATES) {
            Found::Order => {}
            Found::None => {
                let count = operations.len();
                let sentence = format!("W3: the {count} operations on {key} have no order");
                return Err(Stop::Failed(sentence));
            }
            Found::Undecided => {
                let sentence = format!("W3: no order of {key} found among {STATES} states");
                return Err(Stop::Failed(sentence));
            }
        }
    }
    Ok(())
}

/// Checks all results of clients against the events of the whole history.
fn check_events(history: &[Recorded], events: &[Event]) -> Check {
    let mut replay = Replay::default();
    replay.apply_all(events)?;
    let by_revision: HashMap<i64, &Event> = events.iter().map(|e| (e.revision, e)).collect();
    same!(by_revision.len(), events.len(), "R4: revisions of events");
    let mut claimed: HashMap<i64, &Recorded> = HashMap::new();
    for recorded in history {
        if let Outcome::Applied { .. } = recorded.operation.outcome {
            let revision = recorded.revision;
            let event = by_revision.get(&revision).copied();
            let event = some(
                event,
                &format!("V3: the event of acknowledged revision {revision}"),
            )?;
            recorded.fits(event)?;
            let before = claimed.insert(revision, recorded);
            ensure!(before.is_none(), "R4: revision {revision} was given twice");
        }
        for shown in &recorded.shown {
            check_shown(shown, &by_revision)?;
        }
    }
    // An event without a matching acknowledgement must belong to an operation with an unknown
    // outcome.
    for event in events
        .iter()
        .filter(|event| !claimed.contains_key(&event.revision))
    {
        let open = history.iter().any(|recorded| {
            recorded.operation.outcome == Outcome::Unknown && recorded.fits(event).is_ok()
        });
        ensure!(open, "event {} belongs to no operation", event.revision);
    }
    check_real_time(history)
}

/// Asserts that a record in a read or a conflict equals that of its event.
fn check_shown(shown: &Record, by_revision: &HashMap<i64, &Event>) -> Check {
    let event = by_revision.get(&shown.revision).copied();
    let event = some(
        event,
        &format!("the event of revision {} that was read", shown.revision),
    )?;
    ensure!(
        event.r#type() != Type::Deleted && event.record.as_ref() == Some(shown),
        "the record read at revision {} is not the one of its event",
        shown.revision
    );
    Ok(())
}

/// R1: a change acknowledged before an operation began has the smaller revision.
fn check_real_time(history: &[Recorded]) -> Check {
    let applied = history.iter().filter_map(|recorded| {
        let acknowledged = matches!(recorded.operation.outcome, Outcome::Applied { .. });
        let end = recorded.operation.end.filter(|_| acknowledged)?;
        Some((recorded.operation.begin, end, recorded.revision))
    });
    let mut by_begin: Vec<(u64, u64, i64)> = applied.collect();
    let mut by_end = by_begin.clone();
    by_begin.sort_unstable();
    by_end.sort_unstable_by_key(|(_, end, _)| *end);
    let (mut ended, mut newest) = (by_end.into_iter().peekable(), 0);
    for (begin, _, revision) in by_begin {
        while let Some((_, _, earlier)) = ended.next_if(|(_, end, _)| *end < begin) {
            newest = newest.max(earlier);
        }
        ensure!(
            revision > newest,
            "R1: revision {revision} was given after {newest} had been acknowledged"
        );
    }
    Ok(())
}
