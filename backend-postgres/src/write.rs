//! Batches of operations: one statement, and its rows as verdicts.
//!
//! The statement is a set-wise compare-and-swap. It joins the operations with the objects they name
//! and with the log rows of their op_ids, decides each, numbers the successful ones in order, and
//! stores them. The row of `store` must be locked by an earlier, separate statement: then the
//! snapshot of this statement includes the commit of the previous lock holder.

mod batch;
mod verdict;

use tokio_postgres::types::Type;

use crate::connection::Statement;

pub(crate) use batch::{Batch, origin};

/// Maximum size of a value in bytes.
pub(crate) const VALUE_BYTES: usize = 32 << 20;

/// Results of [`APPLY`] for an operation.
mod answer {
    pub(crate) const APPLIED: i16 = 0;
    pub(crate) const REPLAYED: i16 = 1;
    pub(crate) const EXISTS: i16 = 2;
    pub(crate) const NOT_FOUND: i16 = 3;
    pub(crate) const REVISION: i16 = 4;
    pub(crate) const UID: i16 = 5;
    pub(crate) const SAME: i16 = 6;
    pub(crate) const DAMAGED: i16 = 7;
    pub(crate) const FENCED: i16 = 8;
    pub(crate) const EXHAUSTED: i16 = 9;
}

/// Decides and stores a batch. On a fenced store it still finds operations that were already
/// applied, because rejecting their retry as `NOT_APPLIED` would be wrong. It returns no rows if
/// the store is not writable; the locked row says why. If revisions were assigned but the update of
/// the row of `store` matched no row, a division by its row count fails the statement.
///
/// The time of a change is that of the database's clock: writers whose clocks differ would make
/// changes look older or younger than their neighbours, and retention goes by that.
pub(crate) static APPLY: Statement = Statement {
    text: "
WITH s AS MATERIALIZED (
  SELECT revision, fenced IS NOT NULL AS fenced,
    (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint AS now
  FROM (SELECT * FROM ark.store WHERE revision > 0 ORDER BY revision DESC LIMIT 1) s
  WHERE import_source IS NULL
    AND timeline = substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
), judged AS MATERIALIZED (
  SELECT op.*, s.revision AS base, s.now,
    o.revision AS old_revision, o.create_revision AS old_create, o.created_at AS old_created_at,
    o.time AS old_time, o.sum AS old_sum, o.idx AS old_idx, o.value AS old_value,
    l.revision AS done, l.previous AS done_previous, l.create_revision AS done_create,
    l.created_at AS done_created_at, l.change AS done_change, l.old_time AS done_time,
    l.old_sum AS done_sum, l.old_idx AS done_idx, l.old_value AS done_value,
    l.resource = op.resource AND l.path = op.path AS done_here,
    CASE
      WHEN l.revision IS NOT NULL THEN 1
      WHEN s.fenced THEN 8
      WHEN s.revision >= $12 THEN 9
      WHEN op.action = 1 THEN CASE WHEN o.revision IS NULL THEN 0 ELSE 2 END
      WHEN o.revision IS NULL THEN 3
      WHEN op.expected <> 0 AND op.expected <> o.revision THEN 4
      WHEN op.expected_uid <> '' AND op.expected_uid <> o.uid THEN 5
      WHEN op.action = 3 THEN 0
      WHEN sha256(o.value) <> o.sum THEN 7
      WHEN op.sum = o.sum AND op.value = o.value THEN 6
      ELSE 0
    END::smallint AS verdict
  FROM s, unnest($1::smallint[], $2::integer[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[],
      $7::bytea[], $8::bigint[], $9::bytea[], $10::bytea[], $11::text[], $13::text[], $14::text[],
      $15::text[])
    WITH ORDINALITY AS op(action, resource, path, value, sum, idx, uid, expected, expected_uid,
      op_id, actor, manager, verb, subresource, place)
  LEFT JOIN ark.object o ON o.resource = op.resource AND o.path = op.path
  LEFT JOIN ark.log l ON l.op_id = op.op_id
), won AS MATERIALIZED (
  SELECT *, base + row_number() OVER (ORDER BY place) AS revision FROM judged WHERE verdict = 0
), created AS (
  INSERT INTO ark.object (resource, path, revision, create_revision, created_at, time, size, sum,
    uid, idx, value)
  SELECT resource, path, revision, revision, now, now, octet_length(value), sum, uid, idx, value
  FROM won WHERE action = 1
), updated AS (
  UPDATE ark.object o SET revision = w.revision, time = w.now, size = octet_length(w.value),
    sum = w.sum, uid = w.uid, idx = w.idx, value = w.value
  FROM won w WHERE w.action = 2 AND o.resource = w.resource AND o.path = w.path
), deleted AS (
  DELETE FROM ark.object o USING won w
  WHERE w.action = 3 AND o.resource = w.resource AND o.path = w.path
), logged AS (
  INSERT INTO ark.log (revision, resource, path, change, previous, create_revision, created_at,
    time, actor, manager, verb, subresource, op_id, size, old_time, old_sum, old_idx, old_value)
  SELECT revision, resource, path, action, coalesce(old_revision, 0),
    coalesce(old_create, revision), coalesce(old_created_at, now), now, actor, manager, verb,
    subresource, op_id, octet_length(CASE action WHEN 3 THEN old_value ELSE value END),
    old_time, old_sum, old_idx, old_value
  FROM won
), counted AS (
  UPDATE ark.store SET revision = (SELECT max(revision) FROM won)
  WHERE revision = (SELECT base FROM won LIMIT 1)
  RETURNING true
)
SELECT j.place, j.verdict,
  CASE j.verdict WHEN 1 THEN j.done_here ELSE true END,
  CASE j.verdict WHEN 1 THEN j.done WHEN 9 THEN j.base WHEN 0 THEN
    j.base + (count(*) FILTER (WHERE j.verdict = 0) OVER (ORDER BY j.place))
      / (SELECT count(*) FROM counted) END,
  CASE j.verdict WHEN 1 THEN j.done_previous ELSE j.old_revision END,
  CASE j.verdict WHEN 1 THEN j.done_create ELSE j.old_create END,
  CASE j.verdict WHEN 1 THEN j.done_created_at ELSE j.old_created_at END,
  CASE j.verdict WHEN 1 THEN j.done_time ELSE j.old_time END,
  CASE WHEN shown THEN CASE j.verdict WHEN 1 THEN j.done_sum ELSE j.old_sum END END,
  CASE WHEN shown THEN CASE j.verdict WHEN 1 THEN j.done_idx ELSE j.old_idx END END,
  CASE WHEN shown THEN CASE j.verdict WHEN 1 THEN j.done_value ELSE j.old_value END END,
  j.now
FROM judged j, LATERAL (SELECT CASE j.verdict
    WHEN 0 THEN j.action = 3
    WHEN 1 THEN j.done_change = 3
    WHEN 6 THEN false
    WHEN 8 THEN false
    WHEN 9 THEN false
    ELSE true END AS shown) x
ORDER BY j.place",
    types: &[
        Type::INT2_ARRAY,
        Type::INT4_ARRAY,
        Type::TEXT_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::INT8_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::TEXT_ARRAY,
        Type::INT8,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
    ],
};
