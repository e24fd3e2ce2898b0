-- Identity and position of the store: one row.
CREATE TABLE store (
  id               INTEGER PRIMARY KEY CHECK (id = 1),
  store_id         TEXT    NOT NULL,
  epoch            INTEGER NOT NULL,
  -- Newest revision ever issued; kept when compaction removes its row.
  revision         INTEGER NOT NULL,
  -- Newest compacted revision, and the revision up to which rows have been deleted.
  compact_revision INTEGER NOT NULL,
  swept_revision   INTEGER NOT NULL,
  -- Set in a backup: the next start begins a new epoch.
  restored         INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE resource (
  id        INTEGER PRIMARY KEY,
  api_group TEXT NOT NULL,
  resource  TEXT NOT NULL,
  UNIQUE (api_group, resource)
) STRICT;

-- One row per change, with its value. The newest row of a key is its current state.
-- The value is the last column, so that the others are read without its overflow pages.
CREATE TABLE log (
  revision        INTEGER PRIMARY KEY,
  resource        INTEGER NOT NULL,
  path            TEXT    NOT NULL,
  -- 1 created, 2 updated, 3 deleted.
  change          INTEGER NOT NULL,
  -- Row that this change replaced; 0 for created.
  previous        INTEGER NOT NULL,
  create_revision INTEGER NOT NULL,
  -- Nanoseconds since 1970.
  created_at      INTEGER NOT NULL,
  time            INTEGER NOT NULL,
  actor           TEXT    NOT NULL,
  op_id           BLOB,
  -- ark.backend.v1.Index.
  idx             BLOB,
  -- CRC32C of the value.
  crc             INTEGER,
  -- Absent for deleted: the last value is in the row `previous`.
  value           BLOB
) STRICT;

CREATE INDEX log_op ON log (op_id) WHERE op_id IS NOT NULL;

CREATE TABLE current (
  resource INTEGER NOT NULL,
  path     TEXT    NOT NULL,
  revision INTEGER NOT NULL,
  PRIMARY KEY (resource, path)
) STRICT, WITHOUT ROWID;

-- View for queries by people; see docs/sql.md.
CREATE VIEW resources AS
SELECT
  json_extract(object, '$.kind')                            AS kind,
  CASE WHEN instr(path, '/') > 0
       THEN substr(path, 1, instr(path, '/') - 1)
       ELSE '' END                                          AS namespace,
  CASE WHEN instr(path, '/') > 0
       THEN substr(path, instr(path, '/') + 1)
       ELSE path END                                        AS name,
  revision                                                  AS resource_version,
  json_extract(object, '$.metadata.generation')             AS generation,
  json_extract(object, '$.metadata.uid')                    AS uid,
  object -> '$.spec'                                        AS spec,
  object -> '$.status'                                      AS status,
  object -> '$.metadata.labels'                             AS labels,
  object -> '$.metadata.annotations'                        AS annotations,
  strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e9, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', time / 1e9, 'unixepoch')       AS updated_at,
  json_extract(object, '$.metadata.deletionTimestamp')      AS deleted_at
FROM (
  SELECT c.path, l.revision, l.created_at, l.time, CAST(l.value AS TEXT) AS object
  FROM current AS c JOIN log AS l ON l.revision = c.revision
);
