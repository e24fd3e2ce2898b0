//! Operations as column arrays for the statement.

use backend_proto::limits::LAST_WRITE;
use backend_proto::v1::op::Action;
use backend_proto::v1::{BackendError, Key, Op, Origin};
use bytes::Bytes;
use prost::Message as _;
use sidecar::key::path_of;
use sidecar::op;
use tokio_postgres::types::ToSql;

use super::VALUE_BYTES;
use crate::error::Error;
use crate::record::digest;

/// A batch: the refusals of operations that are invalid in any state, and the columns of the
/// others.
pub(crate) struct Batch {
    pub(crate) ops: Vec<Op>,
    /// Refusal per operation, or `None`.
    pub(crate) refused: Vec<Option<BackendError>>,
    /// For each row of the columns, the index in `ops`.
    pub(crate) rows: Vec<usize>,
    columns: Columns,
}

#[derive(Default)]
struct Columns {
    action: Vec<i16>,
    resource: Vec<i32>,
    path: Vec<String>,
    value: Vec<Blob>,
    sum: Vec<Blob>,
    index: Vec<Option<Blob>>,
    uid: Vec<Blob>,
    expected: Vec<i64>,
    expected_uid: Vec<Blob>,
    op_id: Vec<Blob>,
    actor: Vec<String>,
    manager: Vec<String>,
    verb: Vec<String>,
    subresource: Vec<String>,
}

/// Bytes that are shared, not copied, until they are sent.
#[derive(Debug)]
struct Blob(Bytes);

impl Batch {
    /// Validates the operations.
    pub(crate) fn new(mut ops: Vec<Op>) -> Self {
        // Every operation gets an op_id, so that a batch whose response is lost can be sent again;
        // the id stays the same in every attempt.
        for op in ops.iter_mut().filter(|op| op.op_id.is_empty()) {
            op.op_id = Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        let mut batch = Self {
            refused: Vec::with_capacity(ops.len()),
            rows: Vec::new(),
            columns: Columns::default(),
            ops,
        };
        let mut ids = std::collections::HashSet::new();
        for (place, op) in batch.ops.iter().enumerate() {
            let mut rejection = op::rejection(op, VALUE_BYTES);
            if rejection.is_none() && !ids.insert(op.op_id.clone()) {
                rejection = Some(op::invalid("this op_id was used for another key"));
            }
            if rejection.is_none() {
                batch.rows.push(place);
            }
            batch.refused.push(rejection);
        }
        batch
    }

    /// Rejects, for lack of space, operations that store a value, and keeps the others. Returns
    /// `false` if that changes nothing or leaves nothing.
    pub(crate) fn keep_deletes(&mut self) -> bool {
        let deletes = |row: &usize| self.ops[*row].action() == Action::Delete;
        let (retained, others): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| deletes(row));
        if retained.is_empty() || others.is_empty() {
            return false;
        }
        for row in others {
            self.refused[row] = Some(Error::NoSpace.into());
        }
        self.rows = retained;
        true
    }

    /// Returns the keys whose resource ids are needed, per row.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        let keys = self.rows.iter().map(|&row| self.ops[row].key.as_ref());
        // Every row has a key: see `rejection`.
        keys.flatten()
    }

    /// Fills the columns; `resources` are the resource ids per row.
    pub(crate) fn fill(&mut self, resources: Vec<i32>) {
        let mut columns = Columns {
            resource: resources,
            ..Columns::default()
        };
        for &row in &self.rows {
            let op = &self.ops[row];
            let key = op.key.clone().unwrap_or_default();
            let stored = op.action() != Action::Delete;
            let index = op.index.as_ref().filter(|_| stored);
            columns.action.push(op.action() as i16);
            columns.path.push(path_of(&key));
            columns
                .sum
                .push(Blob(Bytes::copy_from_slice(digest(&op.value).as_ref())));
            columns.value.push(Blob(op.value.clone()));
            columns
                .index
                .push(index.map(|index| Blob(index.encode_to_vec().into())));
            let uid = index.map_or_else(Bytes::new, |index| index.uid.clone().into());
            columns.uid.push(Blob(uid));
            columns.expected.push(op.expected_revision);
            columns
                .expected_uid
                .push(Blob(op.expected_uid.clone().into()));
            columns.op_id.push(Blob(op.op_id.clone()));
            columns.actor.push(actor(op));
            let origin = origin(op.origin.as_ref()).unwrap_or_default();
            columns.manager.push(origin.manager);
            columns.verb.push(origin.verb);
            columns.subresource.push(origin.subresource);
        }
        self.columns = columns;
    }

    /// Returns the statement's parameters.
    pub(crate) fn parameters(&self) -> [&(dyn ToSql + Sync); 15] {
        let columns = &self.columns;
        [
            &columns.action,
            &columns.resource,
            &columns.path,
            &columns.value,
            &columns.sum,
            &columns.index,
            &columns.uid,
            &columns.expected,
            &columns.expected_uid,
            &columns.op_id,
            &columns.actor,
            &LAST_WRITE,
            &columns.manager,
            &columns.verb,
            &columns.subresource,
        ]
    }
}

impl ToSql for Blob {
    fn to_sql(
        &self,
        kind: &tokio_postgres::types::Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.as_ref().to_sql(kind, out)
    }

    fn accepts(kind: &tokio_postgres::types::Type) -> bool {
        <&[u8] as ToSql>::accepts(kind)
    }

    tokio_postgres::types::to_sql_checked!();
}

/// Returns the stored part of the actor, without zero bytes, which PostgreSQL cannot store.
pub(crate) fn actor(op: &Op) -> String {
    op::actor(op).replace('\0', "")
}

/// Returns the stored part of the origin, likewise.
pub(crate) fn origin(origin: Option<&Origin>) -> Option<Origin> {
    let Origin {
        manager,
        verb,
        subresource,
    } = op::origin(origin)?;
    let retained = |part: String| part.replace('\0', "");
    op::origin_of(retained(manager), retained(verb), retained(subresource))
}
