ALTER TABLE log DROP COLUMN manager, DROP COLUMN verb, DROP COLUMN subresource;
