//! Rows of the statement as verdicts and events.

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::event::Type;
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::conflict::Cause;
use backend_proto::v1::op_result::{Applied, Conflict, Verdict};
use backend_proto::v1::{BackendError, Event, Op, OpResult, Record};
use bytes::Bytes;
use sidecar::head::Exhausted;
use sidecar::op::refused;
use sidecar::time::timestamp;
use tokio_postgres::Row;

use super::answer;
use super::batch::{Batch, actor, origin};
use crate::error::Error;
use crate::record::{Stored, damaged};

/// Verdicts in the order of the operations, and events in the order of their revisions.
pub(crate) struct Verdicts {
    pub(crate) results: Vec<OpResult>,
    pub(crate) events: Vec<Event>,
}

/// A row of the statement: the result of one operation, and the record it found.
struct Answer {
    verdict: i16,
    /// Whether the op_id was found with the key that the operation names.
    here: bool,
    revision: i64,
    found: Stored,
    /// Time of the statement in nanoseconds since 1970.
    now: i64,
}

impl Batch {
    /// Reads the statement's rows for this batch; `fenced` is the reason of the fence, if set.
    ///
    /// # Errors
    /// If the store is fenced and no operation was already applied.
    pub(crate) fn into_verdicts(
        self,
        rows: &[Row],
        fenced: Option<&str>,
    ) -> Result<Verdicts, Error> {
        let refused = |row: &Row| row.get::<_, i16>(1) == answer::FENCED;
        if let Some(reason) = fenced
            && !rows.is_empty()
            && rows.iter().all(refused)
        {
            return Err(Error::Fenced(reason.to_owned()));
        }
        let fence = BackendError::from(Error::Fenced(fenced.unwrap_or_default().to_owned()));
        let mut verdicts: Vec<Option<Verdict>> = self
            .refused
            .into_iter()
            .map(|rejection| rejection.map(Verdict::Refused))
            .collect();
        let mut events = Vec::new();
        for (row, &place) in rows.iter().zip(&self.rows) {
            let (verdict, event) = match Answer::read(row) {
                Answer {
                    verdict: answer::FENCED,
                    ..
                } => (Verdict::Refused(fence.clone()), None),
                answer => answer.into_verdict(&self.ops[place]),
            };
            verdicts[place] = Some(verdict);
            events.extend(event);
        }
        let results = verdicts.into_iter().map(|verdict| OpResult { verdict });
        Ok(Verdicts {
            results: results.collect(),
            events,
        })
    }
}

impl Answer {
    fn read(row: &Row) -> Self {
        let number = |column: usize| row.get::<_, Option<i64>>(column).unwrap_or(0);
        Self {
            verdict: row.get(1),
            here: row.get(2),
            revision: number(3),
            found: Stored {
                revision: number(4),
                create_revision: number(5),
                created_at: number(6),
                time: number(7),
                sum: row.get(8),
                index: row.get(9),
                value: row.get::<_, Option<&[u8]>>(10).map(Bytes::copy_from_slice),
            },
            now: row.get(11),
        }
    }

    fn into_verdict(self, op: &Op) -> (Verdict, Option<Event>) {
        let conflict = |cause: Cause, current| {
            let cause = cause.into();
            (Verdict::Conflict(Conflict { cause, current }), None)
        };
        let key = op.key.clone().unwrap_or_default();
        match self.verdict {
            answer::APPLIED => {
                let (applied, event) = self.applied(op);
                (Verdict::Applied(applied), Some(event))
            }
            answer::REPLAYED if !self.here => {
                let rejection = refused(Reason::Invalid, "this op_id was used for another key");
                (Verdict::Refused(rejection), None)
            }
            answer::REPLAYED => {
                let deleted = self.found.value.is_some();
                let applied = Applied {
                    revision: self.revision,
                    replayed: true,
                    deleted: deleted.then(|| self.found.into_record(key)),
                    ..Applied::default()
                };
                (Verdict::Applied(applied), None)
            }
            answer::SAME => {
                let applied = Applied {
                    revision: self.found.revision,
                    noop: true,
                    ..Applied::default()
                };
                (Verdict::Applied(applied), None)
            }
            answer::DAMAGED => {
                let sentence = damaged(&key, self.found.revision);
                (Verdict::Refused(refused(Reason::Corrupt, &sentence)), None)
            }
            answer::EXHAUSTED => {
                let newest = self.revision;
                (Verdict::Refused(Exhausted { newest }.into()), None)
            }
            answer::EXISTS => conflict(Cause::Exists, Some(self.found.into_record(key))),
            answer::REVISION => conflict(Cause::Revision, Some(self.found.into_record(key))),
            answer::UID => conflict(Cause::Uid, Some(self.found.into_record(key))),
            answer::NOT_FOUND => conflict(Cause::NotFound, None),
            other => {
                let sentence = format!("the database judged an operation as {other}");
                (Verdict::Refused(refused(Reason::Internal, &sentence)), None)
            }
        }
    }

    fn applied(self, op: &Op) -> (Applied, Event) {
        let now = self.now;
        let key = op.key.clone().unwrap_or_default();
        let previous = self.found.revision;
        let (kind, record) = match op.action() {
            Action::Delete => (Type::Deleted, self.found.into_record(key)),
            action => {
                let created = action == Action::Create;
                let record = Record {
                    key: Some(key),
                    revision: self.revision,
                    create_revision: if created {
                        self.revision
                    } else {
                        self.found.create_revision
                    },
                    value: op.value.clone(),
                    index: op.index.clone(),
                    created_at: Some(timestamp(if created { now } else { self.found.created_at })),
                    updated_at: Some(timestamp(now)),
                    unreadable: String::new(),
                };
                (
                    if created {
                        Type::Created
                    } else {
                        Type::Updated
                    },
                    record,
                )
            }
        };
        let applied = Applied {
            revision: self.revision,
            deleted: (kind == Type::Deleted).then(|| record.clone()),
            ..Applied::default()
        };
        let event = Event {
            revision: self.revision,
            r#type: kind.into(),
            record: Some(record),
            previous_revision: previous,
            time: Some(timestamp(now)),
            actor: actor(op),
            origin: origin(op.origin.as_ref()),
        };
        (applied, event)
    }
}
