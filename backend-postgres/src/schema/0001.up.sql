-- Runs inside one transaction with search_path = ark, pg_temp. Everything is in the schema `ark`;
-- a second store needs a second database.

-- Identity and position of the store: one row. Its lock orders all writers.
--
-- While a transaction holds an old snapshot, PostgreSQL keeps a version of the row per commit. Each
-- commit changes the key, and readers look for the highest key, so they do not scan old versions. The
-- fill factor and the vacuum settings keep the number of versions low otherwise.
CREATE TABLE store (
  store_id         text   NOT NULL,
  epoch            bigint NOT NULL,
  -- Newest revision ever issued.
  revision         bigint PRIMARY KEY CHECK (revision > 0),
  -- Newest compacted revision.
  compact_revision bigint NOT NULL,
  -- How many revisions the newest partition of log holds, and when it was made (nanoseconds since
  -- 1970).
  log_span         bigint NOT NULL,
  log_extended_at  bigint NOT NULL,
  -- Cluster, timeline, database and table in which this row was written. If one differs, as after a
  -- failover or a restore from a dump, commits may be missing.
  origin           text   NOT NULL,
  timeline         text   NOT NULL,
  -- Reason of the fence; NULL without a fence.
  fenced           text,
  -- An unfinished import: the source's ark.backend.v1.Header, the last record's Key, how far.
  import_source    bytea,
  import_last      bytea,
  import_revision  bigint NOT NULL DEFAULT 0,
  import_records   bigint NOT NULL DEFAULT 0
) WITH (
  fillfactor = 10,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 500
);

CREATE TABLE resource (
  id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  api_group text COLLATE "C" NOT NULL,
  resource  text COLLATE "C" NOT NULL,
  UNIQUE (api_group, resource)
);

-- Current state. Lists scan the primary key.
CREATE TABLE object (
  resource        integer NOT NULL,
  -- namespace/name, or the name of a cluster-scoped object.
  path            text COLLATE "C" NOT NULL,
  revision        bigint  NOT NULL,
  create_revision bigint  NOT NULL,
  -- Nanoseconds since 1970.
  created_at      bigint  NOT NULL,
  time            bigint  NOT NULL,
  -- Bytes of value, and its SHA-256.
  size            integer NOT NULL,
  sum             bytea   NOT NULL,
  uid             bytea   NOT NULL,
  -- ark.backend.v1.Index.
  idx             bytea,
  value           bytea   NOT NULL,
  PRIMARY KEY (resource, path)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.1);

-- One row per change, with the value that the change replaced. The value that it stored is in object
-- until the next change of the key. So each value is written at most twice, and state at a later
-- revision does not need a dropped part of the log.
CREATE TABLE log (
  revision        bigint   NOT NULL,
  resource        integer  NOT NULL,
  path            text COLLATE "C" NOT NULL,
  -- 1 created, 2 updated, 3 deleted.
  change          smallint NOT NULL,
  -- Revision that this change replaced; 0 for created.
  previous        bigint   NOT NULL,
  create_revision bigint   NOT NULL,
  created_at      bigint   NOT NULL,
  time            bigint   NOT NULL,
  actor           text     NOT NULL,
  op_id           bytea,
  -- Bytes of the value that this change stored, or for a delete of the last one.
  size            integer  NOT NULL,
  old_time        bigint,
  old_sum         bytea,
  old_idx         bytea,
  old_value       bytea,
  PRIMARY KEY (revision)
) PARTITION BY RANGE (revision);

CREATE INDEX log_op ON log (op_id);
CREATE INDEX log_previous ON log (previous) WHERE previous > 0;

-- The partitions of log: revisions from `first` up to, not including, `upto`.
CREATE TABLE log_partition (
  name  name   PRIMARY KEY,
  first bigint NOT NULL,
  upto  bigint NOT NULL
);

-- Values are not compressed, because that costs more time than it saves, and stay in their row while
-- it fits a page.
ALTER TABLE object ALTER COLUMN value SET STORAGE EXTERNAL;
ALTER TABLE object SET (toast_tuple_target = 8160);
ALTER TABLE log ALTER COLUMN old_value SET STORAGE EXTERNAL;

INSERT INTO store (store_id, epoch, revision, compact_revision, log_span,
                   log_extended_at, origin, timeline)
SELECT gen_random_uuid()::text, 1, 1::bigint << 40, 1::bigint << 40, 8192, 0,
       concat_ws('/', c.system_identifier, d.oid, 'store'::regclass::oid),
       substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
FROM pg_control_system() c, pg_database d WHERE d.datname = current_database();

CREATE FUNCTION only_one() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'ark.store has one row, which is there';
END $$;
CREATE TRIGGER only_one BEFORE INSERT ON store EXECUTE FUNCTION only_one();

-- Makes room in the log for the revisions from `wanted` up to `last`, and some more: twice as many as
-- the last time if those lasted less than ten minutes, half as many if they lasted more than forty.
-- Runs with the rights of its owner, so that the runtime role need not own tables.
CREATE FUNCTION extend_log(wanted bigint, last bigint, now_nanos bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ark, pg_temp AS $$
DECLARE
  s       store%ROWTYPE;
  lasted  bigint;
  span    bigint;
  start   bigint;
  stop    bigint;
  part    name;
BEGIN
  SELECT * INTO STRICT s FROM store WHERE revision > 0
  ORDER BY revision DESC LIMIT 1 FOR UPDATE;
  -- Existing partitions. Epochs and imports may have created them out of order.
  SELECT coalesce(max(p.upto), wanted) INTO start
  FROM log_partition p WHERE p.first <= last AND p.upto > wanted;
  IF start > last THEN
    RETURN start;
  END IF;
  lasted := (now_nanos - s.log_extended_at) / 1000000000;
  span := CASE WHEN lasted < 600 THEN s.log_span * 2
               WHEN lasted > 2400 THEN s.log_span / 2
               ELSE s.log_span END;
  span := least(greatest(span, 16384), 4194304);
  span := greatest(span, last - start + 1);
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

-- Drops the partitions of the log that hold nothing above the compact revision; returns their number.
-- Returns at once if a long read of the log holds a lock, because compaction runs again later.
CREATE FUNCTION drop_log() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ark, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
  part    name;
  dropped integer := 0;
BEGIN
  FOR part IN
    SELECT p.name FROM log_partition p WHERE p.upto <= 1 + (
      SELECT s.compact_revision FROM store s WHERE s.revision > 0 ORDER BY s.revision DESC LIMIT 1)
    ORDER BY p.upto LIMIT 16
  LOOP
    EXECUTE format('DROP TABLE %I', part);
    DELETE FROM log_partition WHERE name = part;
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;

-- Deletes all rows of an unfinished import.
CREATE FUNCTION discard_import() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ark, pg_temp AS $$
DECLARE
  s    store%ROWTYPE;
  part name;
BEGIN
  SELECT * INTO STRICT s FROM store WHERE revision > 0
  ORDER BY revision DESC LIMIT 1 FOR UPDATE;
  IF s.import_source IS NULL THEN
    RETURN;
  END IF;
  TRUNCATE object;
  FOR part IN SELECT name FROM log_partition LOOP
    EXECUTE format('DROP TABLE %I', part);
  END LOOP;
  DELETE FROM log_partition;
  UPDATE store SET import_source = NULL, import_last = NULL, import_revision = 0, import_records = 0
  WHERE revision = s.revision;
END $$;

REVOKE ALL ON FUNCTION extend_log(bigint, bigint, bigint), drop_log(), discard_import() FROM PUBLIC;

-- A value as JSON; NULL if it is not JSON, so that one row does not fail a query of the view.
-- PostgreSQL rejects JSON text that contains U+0000, which is replaced by U+FFFD.
CREATE FUNCTION json_of(value bytea) RETURNS json
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  object text;
BEGIN
  object := convert_from(value, 'UTF8');
  IF strpos(object, '\u0000') > 0 THEN
    -- Behind an even number of backslashes, or it is a backslash and the letters u0000.
    object := regexp_replace(object, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g');
  END IF;
  RETURN object::json;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END $$;

-- View for queries by people; see docs/sql.md.
CREATE VIEW resources AS
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
       THEN (o.object -> 'metadata' ->> 'deletionTimestamp')::timestamptz END AS deleted_at
FROM (SELECT path, revision, created_at, time, json_of(value) AS object FROM object) AS o;
