-- Text with backslashes means the same in sessions with standard_conforming_strings = off. The view
-- is made again, because its patterns were read by the session that made it. It has new columns at
-- its end.
ALTER FUNCTION json_of(bytea) SET standard_conforming_strings = on;
CREATE OR REPLACE VIEW resources AS
SELECT
  o.object ->> 'kind'                                     AS kind,
  CASE WHEN strpos(o.path, '/') > 0
       THEN split_part(o.path, '/', 1) ELSE '' END        AS namespace,
  CASE WHEN strpos(o.path, '/') > 0
       THEN split_part(o.path, '/', 2) ELSE o.path END    AS name,
  o.revision                                              AS resource_version,
  CASE WHEN o.object -> 'metadata' ->> 'generation' ~ '^[0-9]{1,18}$'
       THEN (o.object -> 'metadata' ->> 'generation')::bigint END AS generation,
  o.object -> 'metadata' ->> 'uid'                        AS uid,
  o.object -> 'spec'                                      AS spec,
  o.object -> 'status'                                    AS status,
  o.object -> 'metadata' -> 'labels'                      AS labels,
  o.object -> 'metadata' -> 'annotations'                 AS annotations,
  to_timestamp(o.created_at / 1e9)                        AS created_at,
  to_timestamp(o.time / 1e9)                              AS updated_at,
  CASE WHEN o.object -> 'metadata' ->> 'deletionTimestamp' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$'
       THEN (o.object -> 'metadata' ->> 'deletionTimestamp')::timestamptz END AS deleted_at,
  r.api_group                                             AS "group",
  -- The part after the group, or all of it in the core group.
  regexp_replace(o.object ->> 'apiVersion', '^.*/', '')   AS version,
  r.resource                                              AS plural,
  o.object -> 'metadata' -> 'ownerReferences'             AS owners,
  o.object -> 'metadata' -> 'finalizers'                  AS finalizers,
  o.object                                                AS object
FROM (SELECT resource, path, revision, created_at, time, json_of(value) AS object FROM object) AS o
JOIN resource r ON r.id = o.resource;

-- For queries of the view by namespace, in which objects of other namespaces are not parsed. The
-- expression is that of the view.
CREATE INDEX IF NOT EXISTS object_namespace ON object (
  (CASE WHEN strpos(path, '/') > 0 THEN split_part(path, '/', 1) ELSE '' END), resource);

-- The first partitions of a new store are small, because nothing is known about its values.
UPDATE store SET log_span = 64 WHERE NOT EXISTS (SELECT FROM log_partition);

-- Makes room in the log for the revisions from `wanted` up to `last`, and some more. A partition can
-- only be dropped as a whole, so it should hold 8 MiB, or a quarter of the log if that is more:
-- otherwise either much would be kept that has expired, or the log would consist of many partitions,
-- each of which costs time in every write. The values of the newest changes are the ones that the
-- next changes replace. A partition holds at most four times as many revisions as the one before,
-- because the next values may be larger. Runs with the rights of its owner, so that the runtime role
-- need not own tables.
CREATE OR REPLACE FUNCTION extend_log(wanted bigint, last bigint, now_nanos bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ark, pg_temp AS $$
DECLARE
  -- Bytes of a row of the log beside the value, with its index entries.
  overhead constant bigint := 400;
  s        store%ROWTYPE;
  room     bigint;
  bytes    bigint;
  span     bigint;
  start    bigint;
  stop     bigint;
  part     name;
BEGIN
  SELECT * INTO STRICT s FROM store WHERE revision > 0
  ORDER BY revision DESC LIMIT 1 FOR UPDATE;
  -- Existing partitions. Epochs and imports may have created them out of order.
  SELECT coalesce(max(p.upto), wanted) INTO start
  FROM log_partition p WHERE p.first <= last AND p.upto > wanted;
  IF start > last THEN
    RETURN start;
  END IF;
  SELECT greatest(8 << 20, sum(pg_total_relation_size(format('%I', p.name)::regclass)) / 4)
  INTO room FROM log_partition p;
  SELECT avg(newest.size) INTO bytes
  FROM (SELECT l.size FROM log l WHERE l.revision <= s.revision
        ORDER BY l.revision DESC LIMIT 256) AS newest;
  span := least(s.log_span * 4, coalesce(room / (bytes + overhead), s.log_span * 4), 4194304);
  span := greatest(span, 64, last - start + 1);
  SELECT least(start + span, min(p.first)) INTO stop FROM log_partition p WHERE p.first >= start;
  part := 'log_' || start::text;
  EXECUTE format('CREATE TABLE %I (LIKE log INCLUDING ALL) WITH '
    '(toast_tuple_target = 8160, autovacuum_vacuum_insert_scale_factor = 1)', part);
  EXECUTE format('ALTER TABLE log ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
    part, start, stop);
  INSERT INTO log_partition VALUES (part, start, stop);
  UPDATE store SET log_span = span, log_extended_at = now_nanos WHERE revision = s.revision;
  RETURN stop;
END $$;
