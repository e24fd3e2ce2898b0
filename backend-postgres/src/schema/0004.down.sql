-- The functions and the view of version 4 serve version 3 as well.
ALTER FUNCTION json_of(bytea) RESET standard_conforming_strings;
