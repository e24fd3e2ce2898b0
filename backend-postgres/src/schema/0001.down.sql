-- Removes the store with everything in it. `migrate --to 0` runs this after asking.
DROP VIEW resources;
DROP FUNCTION json_of(bytea);
DROP FUNCTION discard_import();
DROP FUNCTION drop_log();
DROP FUNCTION extend_log(bigint, bigint, bigint);
DROP TABLE log_partition;
DROP TABLE log;
DROP TABLE object;
DROP TABLE resource;
DROP TABLE store;
DROP FUNCTION only_one();
