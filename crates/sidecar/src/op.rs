//! What every driver asks of an operation before it looks at the store.

use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op::Action;
use backend_proto::v1::{BackendError, Op};

use crate::key;

/// Bytes of `Op.actor` that are kept.
const ACTOR_BYTES: usize = 256;

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
    let end = op.actor.floor_char_boundary(ACTOR_BYTES);
    &op.actor[..end]
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
