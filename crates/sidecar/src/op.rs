//! What every driver asks of an operation before it looks at the store.

use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op::Action;
use backend_proto::v1::{BackendError, Op, Origin};

use crate::key;

/// Bytes of `Op.actor` that are kept.
const ACTOR_BYTES: usize = 256;

/// Bytes of the parts of an [`Origin`] that are kept.
const MANAGER_BYTES: usize = 128;
const VERB_BYTES: usize = 32;
const SUBRESOURCE_BYTES: usize = 32;

/// Bytes of `Op.op_id`, if there is one: drivers index it.
const OP_ID_BYTES: usize = 16;

/// Most bytes of group, resource, namespace and name.
const KEY_BYTES: [usize; 4] = [253, 63, 63, 253];

/// Why an operation cannot be stored whatever the state of the store; `None` if it may be.
#[must_use]
pub fn refusal(op: &Op, value_bytes: usize) -> Option<BackendError> {
    if !op.op_id.is_empty() && op.op_id.len() != OP_ID_BYTES {
        return Some(invalid("the op_id has not 16 bytes"));
    }
    let Some(key) = op.key.as_ref() else {
        return Some(invalid("the operation has no key"));
    };
    if op.action() == Action::Unspecified {
        return Some(invalid("the operation has no action"));
    }
    if key.resource.is_empty() || key.name.is_empty() {
        return Some(invalid("the key has no resource or no name"));
    }
    if let Err(refusal) = key::check(key) {
        return Some(refusal);
    }
    let parts = [&key.group, &key.resource, &key.namespace, &key.name];
    let lengths = parts.iter().map(|part| part.len());
    if lengths.zip(KEY_BYTES).any(|(length, limit)| length > limit) {
        return Some(refused(Reason::TooLarge, "a part of the key is too long"));
    }
    if op.value.len() > value_bytes {
        return Some(refused(Reason::TooLarge, "the value is above the limit"));
    }
    None
}

/// The first bytes of the actor that are whole characters.
#[must_use]
pub fn actor(op: &Op) -> &str {
    start(&op.actor, ACTOR_BYTES)
}

/// The first bytes of each part of an origin that are whole characters; `None` if all are empty.
#[must_use]
pub fn origin(origin: Option<&Origin>) -> Option<Origin> {
    let origin = origin?;
    origin_of(
        start(&origin.manager, MANAGER_BYTES).to_owned(),
        start(&origin.verb, VERB_BYTES).to_owned(),
        start(&origin.subresource, SUBRESOURCE_BYTES).to_owned(),
    )
}

/// The origin that a store kept; `None` if all parts are empty, so that a change of an earlier
/// release shows none and a stored change reads as it was handed to watchers.
#[must_use]
pub fn origin_of(manager: String, verb: String, subresource: String) -> Option<Origin> {
    let origin = Origin {
        manager,
        verb,
        subresource,
    };
    (origin != Origin::default()).then_some(origin)
}

fn start(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The refusal of an operation that is malformed.
#[must_use]
pub fn invalid(message: &str) -> BackendError {
    refused(Reason::Invalid, message)
}

/// The refusal of one operation; nothing of it was stored.
#[must_use]
pub fn refused(reason: Reason, message: &str) -> BackendError {
    BackendError {
        reason: reason.into(),
        outcome: Outcome::NotApplied.into(),
        message: message.to_owned(),
        ..BackendError::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_cut_at_whole_characters() {
        let long = Origin {
            manager: "é".repeat(100),
            verb: format!("{}é", "v".repeat(31)),
            subresource: "s".repeat(33),
        };
        let kept = Origin {
            manager: "é".repeat(64),
            verb: "v".repeat(31),
            subresource: "s".repeat(32),
        };
        assert_eq!(origin(Some(&long)), Some(kept.clone()));
        assert_eq!(origin(Some(&kept)), Some(kept));
    }

    #[test]
    fn an_origin_that_says_nothing_is_none() {
        assert_eq!(origin(None), None);
        assert_eq!(origin(Some(&Origin::default())), None);
        assert_eq!(origin_of(String::new(), String::new(), String::new()), None);
        let verb = origin_of(String::new(), "patch".to_owned(), String::new());
        assert_eq!(verb.map(|origin| origin.verb).as_deref(), Some("patch"));
    }
}
