//! Linearizability check of operations on one register.
//!
//! The algorithm is that of Wing and Gong with Lowe's cache of visited states: an operation may
//! come next if no other unplaced operation ended before it began. Every write has a unique value,
//! so a state is the set of placed operations and the register's value.

use std::collections::HashSet;

/// A value, unique to its write.
pub(crate) type Value = u64;

/// A requested operation. `expect` is the value that must be stored; `None` means any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Reads the value.
    Get,
    /// Stores a value if there is none.
    Create(Value),
    /// Replaces the value.
    Update {
        /// Required stored value.
        expect: Option<Value>,
        /// New value.
        value: Value,
    },
    /// Removes the value.
    Delete {
        /// Required stored value.
        expect: Option<Value>,
    },
}

/// Result of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was applied.
    Applied {
        /// Value removed by a delete, as returned to the client.
        deleted: Option<Value>,
    },
    /// It was not applied because of this stored value, or because there was none.
    Conflict(Option<Value>),
    /// It read this value, or none.
    Got(Option<Value>),
    /// No response: it may be applied at any time after it began, or never.
    Unknown,
}

/// One operation on the register.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Logical time of the call.
    pub(crate) begin: u64,
    /// Logical time of the response; `None` for [`Outcome::Unknown`].
    pub(crate) end: Option<u64>,
    /// Requested operation.
    pub(crate) action: Action,
    /// Result of the operation.
    pub(crate) outcome: Outcome,
}

/// Result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A linearization exists.
    Order,
    /// No linearization exists.
    None,
    /// The search reached its limit.
    Undecided,
}

/// Placed operations as a bit set, and the register's value after them.
type State = (Vec<u64>, Option<Value>);

/// Searches a linearization from an empty register, visiting at most `limit` states.
pub(crate) fn linearizable(operations: &[Operation], limit: usize) -> Found {
    let words = operations.len().div_ceil(64);
    let mut visited: HashSet<State> = HashSet::new();
    let mut open: Vec<State> = vec![(vec![0; words], None)];
    while let Some((placed, stored)) = open.pop() {
        let missing = |at: usize| placed[at / 64] & (1 << (at % 64)) == 0;
        let left = || operations.iter().enumerate().filter(|(at, _)| missing(*at));
        // Operations without an end need not be placed.
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

/// Returns the register's value after an operation; `None` if the operation's result is impossible.
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
        Outcome::Got(observed) => (observed == stored).then_some(stored),
        Outcome::Conflict(observed) => (!takes_effect && observed == stored).then_some(stored),
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
