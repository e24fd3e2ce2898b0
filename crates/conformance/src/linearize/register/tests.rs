//! Tests of histories with and without a linearization.

use proptest::prelude::*;

use super::{Action, Found, Operation, Outcome, linearizable, step};

const APPLIED: Outcome = Outcome::Applied { deleted: None };

fn op(begin: u64, end: u64, action: Action, outcome: Outcome) -> Operation {
    Operation {
        begin,
        end: (outcome != Outcome::Unknown).then_some(end),
        action,
        outcome,
    }
}

fn update(expect: u64, value: u64) -> Action {
    Action::Update {
        expect: Some(expect),
        value,
    }
}

fn check(operations: &[Operation], expected: Found) {
    assert_eq!(
        linearizable(operations, 100_000),
        expected,
        "{operations:#?}"
    );
}

#[test]
fn correct_register_histories_are_linearizable() {
    use Action::{Create, Delete, Get};
    check(&[], Found::Order);
    check(
        &[
            op(0, 1, Create(1), APPLIED),
            op(2, 3, Get, Outcome::Got(Some(1))),
            op(2, 9, update(1, 2), APPLIED),
            op(4, 8, Get, Outcome::Got(Some(1))),
            op(5, 7, update(1, 3), Outcome::Conflict(Some(2))),
            op(
                10,
                11,
                Delete { expect: None },
                Outcome::Applied { deleted: Some(2) },
            ),
            op(12, 13, Get, Outcome::Got(None)),
        ],
        Found::Order,
    );
}

#[test]
fn stale_reads_and_lost_writes_are_not_linearizable() {
    use Action::{Create, Get};
    let stale = [
        op(0, 1, Create(1), APPLIED),
        op(2, 3, update(1, 2), APPLIED),
        op(4, 5, Get, Outcome::Got(Some(1))),
    ];
    check(&stale, Found::None);
    let lost = [
        op(0, 1, Create(1), APPLIED),
        op(2, 3, Get, Outcome::Got(None)),
    ];
    check(&lost, Found::None);
    let two_winners = [op(0, 9, Create(1), APPLIED), op(0, 9, Create(2), APPLIED)];
    check(&two_winners, Found::None);
    let back_and_forth = [
        op(0, 1, Create(1), APPLIED),
        op(2, 9, update(1, 2), APPLIED),
        op(3, 4, Get, Outcome::Got(Some(2))),
        op(5, 6, Get, Outcome::Got(Some(1))),
    ];
    check(&back_and_forth, Found::None);
}

#[test]
fn unknown_outcome_may_be_either_but_not_both() {
    use Action::{Create, Get};
    let started = op(0, 0, Create(1), Outcome::Unknown);
    let absent = op(2, 3, Get, Outcome::Got(None));
    let present = |begin| op(begin, begin + 1, Get, Outcome::Got(Some(1)));
    check(&[started.clone(), absent.clone()], Found::Order);
    check(&[started.clone(), absent.clone(), present(4)], Found::Order);
    let vanished = op(6, 7, Get, Outcome::Got(None));
    check(&[started, present(4), vanished], Found::None);
}

#[test]
fn search_at_its_limit_is_undecided() {
    let mut many: Vec<Operation> = (0..20)
        .map(|value| op(0, 0, Action::Create(value), Outcome::Unknown))
        .collect();
    many.push(op(1, 2, Action::Get, Outcome::Got(Some(99))));
    check(&many[19..], Found::None);
    assert_eq!(linearizable(&many, 1000), Found::Undecided);
}

prop_compose! {
    /// Generates overlapping operations whose results are those of a register in the given order.
    fn honest()(plan in prop::collection::vec((0..4_u8, any::<bool>(), 0..40_u64), 1..24))
        -> Vec<Operation> {
        let mut stored = None;
        let mut operations = Vec::new();
        for (at, (kind, any, stretch)) in plan.into_iter().enumerate() {
            let value = at as u64 + 1;
            let expect = if any { None } else { stored.or(Some(0)) };
            let action = match kind {
                0 => Action::Get,
                1 => Action::Create(value),
                2 => Action::Update { expect, value },
                _ => Action::Delete { expect },
            };
            // The operation takes effect at 100 × at, within its interval.
            let place = 100 * at as u64 + 50;
            let open = Operation { begin: place.saturating_sub(stretch * 10),
                end: None, action, outcome: Outcome::Unknown };
            let then = step(&open, stored).expect("an open outcome always fits");
            let outcome = match action {
                Action::Get => Outcome::Got(stored),
                _ if then == stored => Outcome::Conflict(stored),
                Action::Delete { .. } => Outcome::Applied { deleted: stored },
                _ => APPLIED,
            };
            operations.push(Operation { end: Some(place + stretch * 10), outcome, ..open });
            stored = then;
        }
        operations
    }
}

proptest! {
    #[test]
    fn every_generated_register_history_is_linearizable(operations in honest()) {
        prop_assert_eq!(linearizable(&operations, 1_000_000), Found::Order);
    }

    #[test]
    fn read_of_unwritten_value_is_not_linearizable(operations in honest()) {
        let mut operations = operations;
        let end = operations.iter().filter_map(|operation| operation.end).max().unwrap_or(0);
        operations.push(op(0, end, Action::Get, Outcome::Got(Some(u64::MAX))));
        prop_assert_eq!(linearizable(&operations, 1_000_000), Found::None);
    }
}
