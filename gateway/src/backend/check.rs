//! What an answer of a driver must be: one that is not is an error, and nothing of it is remembered.
//!
//! A driver may be old, new, broken or somebody else's. What it says of revisions, keys and order
//! becomes what clients are shown, so it is looked at once, here.

use backend_proto::limits::MAX_REVISION;
use backend_proto::v1;

use crate::backend::error::{Error, Outcome, Reason};
use crate::backend::record::{Cause, Change, ChangeKind, Header, Name, Record, Verdict};

/// An answer that breaks the protocol.
pub(super) fn broken(message: impl Into<String>) -> Error {
    Error::new(Reason::Broken, message)
}

/// A revision, or 0 for none.
pub(super) fn revision(number: i64) -> Result<u64, Error> {
    let revision = Some(number).filter(|number| *number <= MAX_REVISION);
    revision
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| broken(format!("the storage driver told of revision {number}")))
}

/// The revision of a change.
fn of_change(number: i64) -> Result<u64, Error> {
    match revision(number)? {
        0 => Err(broken(
            "the storage driver told of a change without a revision",
        )),
        revision => Ok(revision),
    }
}

/// The state of the store.
pub(super) fn header(header: Option<v1::Header>) -> Result<Header, Error> {
    let header = header.ok_or_else(|| broken("the storage driver answered without a header"))?;
    if header.store_id.is_empty() {
        return Err(broken("the storage driver answered without a store id"));
    }
    let checked = Header {
        epoch: revision(header.epoch)?,
        revision: revision(header.revision)?,
        compact_revision: revision(header.compact_revision)?,
        store_id: header.store_id,
    };
    let Header {
        epoch,
        revision,
        compact_revision,
        ..
    } = checked;
    if !(1 <= epoch && epoch <= compact_revision && compact_revision <= revision) {
        return Err(broken(format!(
            "the storage driver told of epoch {epoch}, compact revision {compact_revision} and \
             revision {revision}, which are not in that order"
        )));
    }
    Ok(checked)
}

/// A record.
pub(super) fn record(record: v1::Record) -> Result<Record, Error> {
    Ok(Record {
        name: name(record.key)?,
        revision: of_change(record.revision)?,
        value: record.value,
        unreadable: record.unreadable,
    })
}

fn name(key: Option<v1::Key>) -> Result<Name, Error> {
    let key = key.ok_or_else(|| broken("the storage driver told of a record without a key"))?;
    let parts = [&key.group, &key.resource, &key.namespace, &key.name];
    let ambiguous = parts.iter().any(|part| part.contains(['/', '\0']));
    if ambiguous || key.resource.is_empty() || key.name.is_empty() {
        return Err(broken("the storage driver told of a record under no key"));
    }
    Ok(key.into())
}

/// A change.
pub(super) fn change(event: v1::Event) -> Result<Change, Error> {
    use v1::event::Type;
    let kind = match event.r#type() {
        Type::Deleted => ChangeKind::Delete,
        Type::Created | Type::Updated => ChangeKind::Put,
        Type::Unspecified => return Err(broken("the storage driver told of an unknown change")),
    };
    let revision = of_change(event.revision)?;
    let without = || broken("the storage driver told of a change without its record");
    let record = record(event.record.ok_or_else(without)?)?;
    let fits = match kind {
        ChangeKind::Put => record.revision == revision,
        // The record as it was before.
        ChangeKind::Delete => record.revision < revision,
    };
    if !fits {
        let found = record.revision;
        let message = format!("a change at revision {revision} has a record of revision {found}");
        return Err(broken(message));
    }
    Ok(Change {
        revision,
        kind,
        record,
    })
}

/// The verdict over an operation. One that cannot be its verdict leaves its outcome open.
pub(super) fn verdict(op: &v1::Op, told: v1::op_result::Verdict) -> Result<Verdict, Error> {
    let checked = match told {
        v1::op_result::Verdict::Applied(applied) => self::applied(op, applied),
        v1::op_result::Verdict::Conflict(conflict) => self::conflict(op, conflict),
        v1::op_result::Verdict::Refused(error) => return Err(refused(error)),
    };
    checked.map_err(|error| Error {
        outcome: Outcome::Unknown,
        ..error
    })
}

fn applied(op: &v1::Op, applied: v1::op_result::Applied) -> Result<Verdict, Error> {
    Ok(Verdict::Applied {
        revision: of_change(applied.revision)?,
        noop: applied.noop,
        deleted: shown(op, applied.deleted)?,
    })
}

fn conflict(op: &v1::Op, conflict: v1::op_result::Conflict) -> Result<Verdict, Error> {
    use v1::op::Action;
    use v1::op_result::conflict::Cause as Wire;
    let cause = match (op.action(), conflict.cause()) {
        (Action::Create, Wire::Exists) => Cause::Exists,
        (Action::Update | Action::Delete, Wire::NotFound) => Cause::NotFound,
        (Action::Update | Action::Delete, Wire::Revision) if op.expected_revision != 0 => {
            Cause::Revision
        }
        (Action::Update | Action::Delete, Wire::Uid) if !op.expected_uid.is_empty() => Cause::Uid,
        // Whoever writes again because of it would do so for ever.
        _ => {
            return Err(broken(
                "a write was refused for an expectation that it has not",
            ));
        }
    };
    let current = shown(op, conflict.current)?;
    Ok(Verdict::Conflict { cause, current })
}

/// The record that a verdict shows, which is that of the operation's key.
fn shown(op: &v1::Op, shown: Option<v1::Record>) -> Result<Option<Record>, Error> {
    let Some(shown) = shown else { return Ok(None) };
    if shown.key != op.key {
        return Err(broken("the verdict over a write shows another record"));
    }
    record(shown).map(Some)
}

fn refused(error: v1::BackendError) -> Error {
    use backend_proto::error::Outcome as Wire;
    // Nothing was stored, unless the detail says otherwise.
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
