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
  numbered bigint;
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
  CREATE TEMP TABLE renumbered ON COMMIT DROP AS
  SELECT old, base + row_number() OVER (ORDER BY old) AS new
  FROM (SELECT revision AS old FROM object
        UNION SELECT least(create_revision, revision) FROM object) AS numbers;
  SELECT count(*) INTO numbered FROM renumbered;
  UPDATE object o SET revision = r.new, create_revision = c.new
  FROM renumbered r, renumbered c
  WHERE r.old = o.revision AND c.old = least(o.create_revision, o.revision);
  UPDATE store SET epoch = base, revision = base + numbered, compact_revision = base + numbered
  WHERE revision = s.revision;
END $$;
