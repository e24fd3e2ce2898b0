-- ark.backend.v1.Origin of each change, empty for changes of earlier releases. The columns come after
-- the value, so only reads of the log ask for them.
ALTER TABLE log ADD COLUMN manager TEXT NOT NULL DEFAULT '';
ALTER TABLE log ADD COLUMN verb TEXT NOT NULL DEFAULT '';
ALTER TABLE log ADD COLUMN subresource TEXT NOT NULL DEFAULT '';
