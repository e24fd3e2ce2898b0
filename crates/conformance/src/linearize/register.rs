//! The search: is there an order of operations on one key that a register could have shown?
//!
//! After Wing and Gong, with Lowe's memory of visited states: an operation may come next if no
//! other one that is not yet placed ended before it began. Each write has a value of its own, so a
//! state is the set of placed operations and the value that the register holds.

use std::collections::HashSet;

/// A value; every write of a history has its own.
pub(crate) type Value = u64;

/// What an operation asked for. `expect` is the value that must be stored; none means any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Reads.
    Get,
    /// Stores where nothing is.
    Create(Value),
    /// Replaces.
    Update {
        /// What must be stored.
        expect: Option<Value>,
        /// The new value.
        value: Value,
    },
    /// Removes.
    Delete {
        /// What must be stored.
        expect: Option<Value>,
    },
}

/// What an operation was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It took effect; a delete was shown what it removed.
    Applied {
        /// What a delete removed.
        deleted: Option<Value>,
    },
    /// It took no effect because this was stored, or nothing.
    Conflict(Option<Value>),
    /// It read this, or nothing.
    Got(Option<Value>),
    /// No answer: it may take effect at any time after it began, or never.
    Unknown,
}

/// One operation on the register.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// When the call was made.
    pub(crate) begin: u64,
    /// When it was answered; never for [`Outcome::Unknown`].
    pub(crate) end: Option<u64>,
    /// What was asked.
    pub(crate) action: Action,
    /// What was answered.
    pub(crate) outcome: Outcome,
}

/// What a search finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is an order.
    Order,
    /// There is none.
    None,
    /// The search was broken off.
    Undecided,
}

/// Which operations are placed, and what the register then holds.
type State = (Vec<u64>, Option<Value>);

/// Searches an order, beginning with an empty register and visiting at most `limit` states.
pub(crate) fn linearizable(operations: &[Operation], limit: usize) -> Found {
    let words = operations.len().div_ceil(64);
    let mut visited: HashSet<State> = HashSet::new();
    let mut open: Vec<State> = vec![(vec![0; words], None)];
    while let Some((placed, stored)) = open.pop() {
        let missing = |at: usize| placed[at / 64] & (1 << (at % 64)) == 0;
        let left = || operations.iter().enumerate().filter(|(at, _)| missing(*at));
        // Operations without an end need not take place.
        let Some(first_end) = left().filter_map(|(_, operation)| operation.end).min() else {
            return Found::Order;
        };
        for (at, operation) in left() {
            if operation.begin > first_end {
                continue;
            }
            let Some(then) = step(operation, stored) else {
                continue;
            };
            let mut next = placed.clone();
            next[at / 64] |= 1 << (at % 64);
            let state = (next, then);
            if !visited.contains(&state) {
                visited.insert(state.clone());
                open.push(state);
            }
        }
        if visited.len() > limit {
            return Found::Undecided;
        }
    }
    Found::None
}

/// What the register holds after an operation whose outcome fits; `None` if it does not fit.
fn step(operation: &Operation, stored: Option<Value>) -> Option<Option<Value>> {
    let meets =
        |expect: Option<Value>| stored.is_some() && expect.is_none_or(|e| stored == Some(e));
    let (takes_effect, then) = match operation.action {
        Action::Get => (true, stored),
        Action::Create(value) => (stored.is_none(), Some(value)),
        Action::Update { expect, value } => (meets(expect), Some(value)),
        Action::Delete { expect } => (meets(expect), None),
    };
    match operation.outcome {
        Outcome::Unknown => Some(if takes_effect { then } else { stored }),
        Outcome::Got(seen) => (seen == stored).then_some(stored),
        Outcome::Conflict(seen) => (!takes_effect && seen == stored).then_some(stored),
        Outcome::Applied { deleted } => {
            let fits = match operation.action {
                Action::Delete { .. } => deleted == stored,
                _ => true,
            };
            (takes_effect && fits).then_some(then)
        }
    }
}

#[cfg(test)]
mod tests;
