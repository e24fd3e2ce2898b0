//! `anyOf`, `oneOf`, `allOf` and `not`.

use std::cell::Cell;

use serde_json::Value;

use super::outcome::{Fault, Location, Outcome};
use super::{Old, node};
use crate::structural::Structural;

pub(super) fn check(
    value: &Value,
    schema: &Structural,
    location: Location<'_>,
    old: Option<Old<'_>>,
    outcome: &mut Outcome,
) {
    let rules = &schema.rules;
    if rules.any_of.is_empty()
        && rules.one_of.is_empty()
        && rules.all_of.is_empty()
        && rules.not.is_none()
    {
        outcome.matches += 2;
        return;
    }
    let left = Cell::new(outcome.left);
    let run = |schema: &Structural| {
        let mut branch = Outcome::branch(left.get());
        node(value, schema, location, old, &mut branch);
        left.set(branch.left);
        branch
    };
    if !rules.any_of.is_empty() {
        any_of(&rules.any_of, run, location, outcome);
    }
    if !rules.one_of.is_empty() {
        one_of(&rules.one_of, run, location, outcome);
    }
    if !rules.all_of.is_empty() {
        all_of(&rules.all_of, run, location, outcome);
    }
    if let Some(not) = &rules.not
        && run(not).faults.is_empty()
    {
        outcome.add(|| Fault::plain(format!("\"{location}\" must not validate the schema (not)")));
    }
    outcome.left = left.get();
    outcome.matches += 2;
}

fn merge(outcome: &mut Outcome, branch: Outcome) {
    outcome.faults.append(branch.faults);
    outcome.matches += branch.matches;
}

/// The closest branch; the first of several.
fn closer(best: Option<Outcome>, branch: Outcome) -> Option<Outcome> {
    match best {
        Some(best) if best.matches >= branch.matches => Some(best),
        _ => Some(branch),
    }
}

fn any_of(
    schemas: &[Structural],
    run: impl Fn(&Structural) -> Outcome,
    location: Location<'_>,
    outcome: &mut Outcome,
) {
    let mut best = None;
    for schema in schemas {
        let branch = run(schema);
        if branch.faults.is_empty() {
            outcome.matches += branch.matches;
            return;
        }
        best = closer(best, branch);
    }
    outcome.add(|| {
        Fault::plain(format!(
            "\"{location}\" must validate at least one schema (anyOf)"
        ))
    });
    if let Some(best) = best {
        merge(outcome, best);
    }
}

fn one_of(
    schemas: &[Structural],
    run: impl Fn(&Structural) -> Outcome,
    location: Location<'_>,
    outcome: &mut Outcome,
) {
    let (mut best, mut first) = (None, None);
    let mut valid = 0;
    for schema in schemas {
        let branch = run(schema);
        if branch.faults.is_empty() {
            valid += 1;
            best = None;
            first.get_or_insert(branch.matches);
        } else if valid == 0 {
            best = closer(best, branch);
        }
    }
    if valid == 1 {
        outcome.matches += first.unwrap_or_default();
        return;
    }
    let found = match valid {
        0 => String::from("Found none valid"),
        count => format!("Found {count} valid alternatives"),
    };
    outcome.add(|| {
        Fault::plain(format!(
            "\"{location}\" must validate one and only one schema (oneOf). {found}"
        ))
    });
    if let Some(best) = best {
        merge(outcome, best);
    }
}

fn all_of(
    schemas: &[Structural],
    run: impl Fn(&Structural) -> Outcome,
    location: Location<'_>,
    outcome: &mut Outcome,
) {
    let mut valid = 0;
    for schema in schemas {
        let branch = run(schema);
        if branch.faults.is_empty() {
            valid += 1;
        }
        merge(outcome, branch);
    }
    if valid != schemas.len() {
        let none = if valid == 0 { ". None validated" } else { "" };
        outcome.add(|| {
            Fault::plain(format!(
                "\"{location}\" must validate all the schemas (allOf){none}"
            ))
        });
    }
}
