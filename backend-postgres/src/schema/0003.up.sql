-- ark.backend.v1.Origin of each change, empty for changes of earlier releases. Programs of version 2
-- work with these columns there: what they write has empty ones.
ALTER TABLE log
  ADD COLUMN manager     text NOT NULL DEFAULT '',
  ADD COLUMN verb        text NOT NULL DEFAULT '',
  ADD COLUMN subresource text NOT NULL DEFAULT '';
