//! Checks of an operation that do not depend on the store, shared by all drivers.

use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op::Action;
use backend_proto::v1::{BackendError, Op, Origin};

use crate::key;

/// Stored bytes of `Op.actor`; the rest is cut off.
const ACTOR_BYTES: usize = 256;

/// Stored bytes of the parts of an [`Origin`]; the rest is cut off.
const MANAGER_BYTES: usize = 128;
const VERB_BYTES: usize = 32;
const SUBRESOURCE_BYTES: usize = 32;

/// Bytes of `Op.op_id`, if set: a UUID. Drivers index it.
const OP_ID_BYTES: usize = 16;

/// Maximum bytes of group, resource, namespace and name: the limits of the Kubernetes API.
const KEY_BYTES: [usize; 4] = [253, 63, 63, 253];

/// Returns the reason why an operation is invalid in any state of the store, or `None`.
#[must_use]
pub fn rejection(op: &Op, value_bytes: usize) -> Option<BackendError> {
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
    if let Err(rejection) = key::check(key) {
        return Some(rejection);
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

/// Returns the stored part of the actor: its first bytes, cut at a character boundary.
#[must_use]
pub fn actor(op: &Op) -> &str {
    start(&op.actor, ACTOR_BYTES)
}

/// Returns the stored part of an origin: the first bytes of each part, cut at a character boundary;
/// `None` if all are empty.
#[must_use]
pub fn origin(origin: Option<&Origin>) -> Option<Origin> {
    let origin = origin?;
    origin_of(
        start(&origin.manager, MANAGER_BYTES).to_owned(),
        start(&origin.verb, VERB_BYTES).to_owned(),
        start(&origin.subresource, SUBRESOURCE_BYTES).to_owned(),
    )
}

/// Builds an origin from stored columns; `None` if all parts are empty, so that changes of earlier
/// releases have none, and a stored change equals the one sent to watchers.
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

/// Rejection of a malformed operation.
#[must_use]
pub fn invalid(message: &str) -> BackendError {
    refused(Reason::Invalid, message)
}

/// Rejection of one operation; nothing of it was stored.
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
    fn origin_is_truncated_at_character_boundary() {
        let long = Origin {
            manager: "é".repeat(100),
            verb: format!("{}é", "v".repeat(31)),
            subresource: "s".repeat(33),
        };
        let stored = Origin {
            manager: "é".repeat(64),
            verb: "v".repeat(31),
            subresource: "s".repeat(32),
        };
        assert_eq!(origin(Some(&long)), Some(stored.clone()));
        assert_eq!(origin(Some(&stored)), Some(stored));
    }

    #[test]
    fn empty_origin_is_none() {
        assert_eq!(origin(None), None);
        assert_eq!(origin(Some(&Origin::default())), None);
        assert_eq!(origin_of(String::new(), String::new(), String::new()), None);
        let verb = origin_of(String::new(), "patch".to_owned(), String::new());
        assert_eq!(verb.map(|origin| origin.verb).as_deref(), Some("patch"));
    }
}
