//! Validation of responses. An invalid response is an error, and none of it is used.
//!
//! Drivers of any version and vendor may be connected. Revisions, keys and order of their responses
//! are passed on to clients, so they are validated once, here.

use api_types::revision::Revision;
use backend_proto::limits::MAX_REVISION;
use backend_proto::v1;

use crate::backend::error::{Error, Outcome, Reason};
use crate::backend::key::{ObjectKey, ResourceId};
use crate::backend::record::{Action, Cause, Change, Header, Record, Verdict, WriteOp};

/// A response that violates the protocol.
pub(super) fn broken(message: impl Into<String>) -> Error {
    Error::new(Reason::Broken, message)
}

/// A revision or the number of an epoch.
pub(super) fn revision(number: i64) -> Result<Revision, Error> {
    u64::try_from(number)
        .ok()
        .filter(|_| number <= MAX_REVISION)
        .and_then(Revision::new)
        .ok_or_else(|| broken(format!("the storage driver reported revision {number}")))
}

/// The state of the store.
pub(super) fn header(header: Option<v1::Header>) -> Result<Header, Error> {
    let header =
        header.ok_or_else(|| broken("the storage driver sent a response without a header"))?;
    if header.store_id.is_empty() {
        return Err(broken(
            "the storage driver sent a response without a store id",
        ));
    }
    let epoch = self::revision(header.epoch)?;
    let revision = self::revision(header.revision)?;
    let compact_revision = self::revision(header.compact_revision)?;
    if !(epoch <= compact_revision && compact_revision <= revision) {
        return Err(broken(format!(
            "the storage driver reported epoch {epoch}, compact revision {compact_revision} and \
             revision {revision}, which are not in that order"
        )));
    }
    Ok(Header {
        epoch: epoch.get(),
        revision,
        compact_revision,
        store_id: header.store_id,
    })
}

/// A record. If it is of the resource `likely`, it shares its text.
pub(super) fn record(record: v1::Record, likely: Option<&ResourceId>) -> Result<Record, Error> {
    let key = record
        .key
        .ok_or_else(|| broken("the storage driver reported a record without a key"))?;
    let likely =
        likely.filter(|it| it.stored_group() == key.group && it.resource() == key.resource);
    Ok(Record {
        key: object_key(&key)?,
        resource: match likely {
            Some(resource) => resource.clone(),
            None => ResourceId::of_stored(&key.group, &key.resource),
        },
        revision: revision(record.revision)?,
        value: match record.unreadable {
            reason if reason.is_empty() => Ok(record.value),
            reason => Err(reason),
        },
    })
}

fn object_key(key: &v1::Key) -> Result<ObjectKey, Error> {
    let parts = [&key.group, &key.resource, &key.namespace, &key.name];
    let ambiguous = parts.iter().any(|part| part.contains(['/', '\0']));
    if ambiguous || key.resource.is_empty() || key.name.is_empty() {
        return Err(broken(
            "the storage driver reported a record with an invalid key",
        ));
    }
    Ok(ObjectKey::new(&key.namespace, &key.name))
}

/// A change.
pub(super) fn change(event: v1::Event) -> Result<Change, Error> {
    use v1::event::Type;
    let kind = event.r#type();
    let revision = revision(event.revision)?;
    let without = || broken("the storage driver reported a change without its record");
    let record = record(event.record.ok_or_else(without)?, None)?;
    let found = record.revision;
    match kind {
        Type::Created | Type::Updated if found == revision => Ok(Change::Put(record)),
        // The record before its deletion.
        Type::Deleted if found < revision => Ok(Change::Delete {
            resource: record.resource,
            key: record.key,
            revision,
        }),
        Type::Unspecified => Err(broken("the storage driver reported an unknown change")),
        Type::Created | Type::Updated | Type::Deleted => Err(broken(format!(
            "a change at revision {revision} has a record of revision {found}"
        ))),
    }
}

/// The verdict over an operation. One that cannot be its verdict leaves its outcome open.
pub(super) fn verdict(op: &WriteOp, result: v1::OpResult) -> Result<Verdict<Record>, Error> {
    use v1::op_result::Verdict as Wire;
    let checked = match result.verdict {
        Some(Wire::Applied(applied)) => self::applied(op, applied),
        Some(Wire::Conflict(conflict)) => self::conflict(op, conflict),
        Some(Wire::Refused(error)) => return Err(rejected(error)),
        None => Err(broken("the storage driver returned no verdict")),
    };
    checked.map_err(|error| Error {
        outcome: Outcome::Unknown,
        ..error
    })
}

fn applied(op: &WriteOp, applied: v1::op_result::Applied) -> Result<Verdict<Record>, Error> {
    // Callers have the deleted record already, so it is only validated.
    returned(op, applied.deleted)?;
    Ok(Verdict::Applied {
        revision: revision(applied.revision)?,
        noop: applied.noop,
    })
}

fn conflict(op: &WriteOp, conflict: v1::op_result::Conflict) -> Result<Verdict<Record>, Error> {
    use v1::op_result::conflict::Cause as Wire;
    let cause = match (&op.action, conflict.cause()) {
        (Action::Create { .. }, Wire::Exists) => Cause::Exists,
        (Action::Update { .. } | Action::Delete, Wire::NotFound) => Cause::NotFound,
        (Action::Update { .. } | Action::Delete, Wire::Revision) if op.expected.is_some() => {
            Cause::Revision
        }
        // A caller would retry such a conflict forever.
        _ => {
            return Err(broken(
                "the storage driver reported a conflict with an expectation that the write lacks",
            ));
        }
    };
    let current = returned(op, conflict.current)?;
    Ok(Verdict::Conflict { cause, current })
}

/// The record in a verdict, which must have the key of the operation.
fn returned(op: &WriteOp, found: Option<v1::Record>) -> Result<Option<Record>, Error> {
    let Some(found) = found else { return Ok(None) };
    let found = record(found, Some(&op.resource))?;
    if (&found.resource, &found.key) != (&op.resource, &op.key) {
        return Err(broken("the verdict of a write contains another record"));
    }
    Ok(Some(found))
}

fn rejected(error: v1::BackendError) -> Error {
    use backend_proto::error::Outcome as Wire;
    // Nothing was stored, unless the error states otherwise.
    let outcome = match error.outcome() {
        Wire::Unknown | Wire::Applied => Outcome::Unknown,
        Wire::NotApplied | Wire::Unspecified => Outcome::NotApplied,
    };
    Error {
        outcome,
        ..Error::from_wire(error)
    }
}

#[cfg(test)]
mod tests;
