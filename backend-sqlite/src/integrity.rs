//! Whole check of a database, before a copy is handed out and before a doubtful file is served.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use crate::error::Error;
use crate::verify;

/// Objects whose newest change is missing, or is of another object.
const DANGLING: &str = "SELECT c.path FROM current c LEFT JOIN log l ON l.revision = c.revision \
    WHERE l.revision IS NULL OR l.change = 3 OR l.resource != c.resource OR l.path != c.path \
    LIMIT 1";

/// Changes that no later change replaced, of objects that do not exist.
const LOST: &str = "SELECT l.path FROM log l \
    LEFT JOIN current c \
      ON c.resource = l.resource AND c.path = l.path AND c.revision = l.revision \
    LEFT JOIN log s ON s.previous = l.revision \
    WHERE l.change != 3 AND c.revision IS NULL AND s.revision IS NULL LIMIT 1";

/// Resources that have objects and no name.
const NAMELESS: &str = "SELECT l.path FROM log l LEFT JOIN resource r ON r.id = l.resource \
    WHERE r.id IS NULL LIMIT 1";

/// Checks that the structure is sound and that objects and changes match; returns the damaged
/// values by `resource.group namespace/name`. `path` is for the error.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<Vec<String>, Error> {
    check_structure(connection, path)?;
    let mut damaged = Vec::new();
    let mut after = 0;
    while let Some(last) = verify::slice(connection, after, &mut damaged)? {
        after = last;
    }
    Ok(damaged)
}

fn check_structure(connection: &Connection, path: &Path) -> Result<(), Error> {
    let unsound = |problem: String| Error::Unsound {
        path: path.to_owned(),
        problem,
    };
    let damage = |error: rusqlite::Error| Error::Storage(error).located(path);
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(damage)?;
    if verdict != "ok" {
        return Err(unsound(verdict.replace('\n', " ")));
    }
    // An unfinished import stores its rows in several calls.
    let importing: Option<bool> = connection
        .query_row("SELECT importing IS NOT NULL FROM store", [], |row| {
            row.get(0)
        })
        .optional()
        .map_err(damage)?;
    if importing != Some(false) {
        return Ok(());
    }
    let checks = [
        (DANGLING, "the newest change is missing"),
        (LOST, "the object is missing"),
        (NAMELESS, "the resource is missing"),
    ];
    for (sql, problem) in checks {
        let found: Option<String> = connection
            .query_row(sql, [], |row| row.get(0))
            .optional()
            .map_err(damage)?;
        if let Some(object) = found {
            return Err(unsound(format!("{object}: {problem}")));
        }
    }
    Ok(())
}
