-- Revisions and epochs are at most 2^53 - 1 since this version; before, revisions held the epoch in
-- their upper bits. A store with such revisions gets new ones in the order of the old ones, in a new
-- epoch, and its history is dropped. `ark.clock_revision` is where the clock begins epochs,
-- `ark.last_kept` the newest revision that is kept: the kit's Head::begin and LAST_BEGIN.
DO $$
DECLARE
  s        store%ROWTYPE;
  last     bigint := current_setting('ark.last_kept');
  clock    bigint := current_setting('ark.clock_revision');
  base     bigint;
  newest   bigint;
  part     name;
BEGIN
  SELECT * INTO STRICT s FROM store WHERE revision > 0
  ORDER BY revision DESC LIMIT 1 FOR UPDATE;
  IF s.revision <= last THEN
    RETURN;
  END IF;
  -- An unfinished import is dropped: its source has to be renumbered first.
  PERFORM discard_import();
  FOR part IN SELECT name FROM log_partition LOOP
    EXECUTE format('DROP TABLE %I', part);
  END LOOP;
  DELETE FROM log_partition;
  SELECT greatest(clock, s.epoch + 1, coalesce(max(o.revision), 0) + 1) INTO base
  FROM object o WHERE o.revision <= last;
  -- No temporary table: that needs a right that the owner of the schema may lack.
  WITH renumbered AS MATERIALIZED (
    SELECT old, base + row_number() OVER (ORDER BY old) AS new
    FROM (SELECT revision AS old FROM object
          UNION SELECT least(create_revision, revision) FROM object) AS numbers)
  UPDATE object o SET revision = r.new, create_revision = c.new
  FROM renumbered r, renumbered c
  WHERE r.old = o.revision AND c.old = least(o.create_revision, o.revision);
  -- The largest number is that of an object's newest change.
  SELECT coalesce(max(o.revision), base) INTO newest FROM object o;
  UPDATE store SET epoch = base, revision = newest, compact_revision = newest
  WHERE revision = s.revision;
END $$;
