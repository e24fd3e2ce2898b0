-- Stamp of the newest commit of a driver: its run, and the number of commits; see src/stamp.rs. Absent
-- in a backup, and in a store that no driver has served since this version.
-- log.crc covers the whole row since this version; see src/record.rs.
ALTER TABLE store ADD COLUMN stamp BLOB;

-- For queries of the view by namespace, in which objects of other namespaces are not parsed. The
-- expression is that of the view.
CREATE INDEX current_namespace ON current (
  CASE WHEN instr(path, '/') > 0 THEN substr(path, 1, instr(path, '/') - 1) ELSE '' END,
  resource);

-- As before, with new columns at its end.
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
  json_extract(object, '$.metadata.deletionTimestamp')      AS deleted_at,
  api_group                                                 AS "group",
  -- The part after the group, or all of it in the core group.
  substr(api_version, instr(api_version, '/') + 1)          AS version,
  resource                                                  AS plural,
  object -> '$.metadata.ownerReferences'                    AS owners,
  object -> '$.metadata.finalizers'                         AS finalizers,
  object                                                    AS object
FROM (
  SELECT r.api_group, r.resource, c.path, l.revision, l.created_at, l.time,
         CAST(l.value AS TEXT)                                   AS object,
         json_extract(CAST(l.value AS TEXT), '$.apiVersion')     AS api_version
  FROM current AS c
  JOIN resource AS r ON r.id = c.resource
  JOIN log AS l ON l.revision = c.revision
  WHERE (SELECT importing IS NULL FROM store)
);
