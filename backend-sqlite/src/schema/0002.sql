-- Reason of the fence; absent without a fence.
ALTER TABLE store ADD COLUMN fenced TEXT;

-- ark.backend.v1.ImportProgress of an import in several calls; absent unless one is unfinished.
-- Its rows are in `log` and `current` already, but must not be visible before the last call.
ALTER TABLE store ADD COLUMN importing BLOB;

-- As before, but empty while an import is unfinished.
DROP VIEW resources;
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
  WHERE (SELECT importing IS NULL FROM store)
);
