//! Schema migrations: up at start or by `migrate`, down only by `migrate --to`.
//!
//! The table `ark.schema_version` holds the version of the database and the oldest compatible
//! program version, so that a database may be one version ahead of running programs.

use std::time::SystemTime;

use backend_proto::limits::LAST_IMPORT;
use sidecar::head::Head;
use tokio_postgres::types::Type;

use crate::connection::{Connection, READ_TIMEOUT, Statement};
use crate::error::Error;
use crate::options::Options;
use crate::store::begin_epoch_anyway;

/// A migration between two versions.
struct Migration {
    up: &'static str,
    down: &'static str,
    /// Oldest program version that works with the result.
    oldest: i32,
}

/// Version `n` of the schema is the result of the first `n` migrations.
const MIGRATIONS: &[Migration] = &[
    Migration {
        up: include_str!("schema/0001.up.sql"),
        down: include_str!("schema/0001.down.sql"),
        oldest: 1,
    },
    Migration {
        up: include_str!("schema/0002.up.sql"),
        down: include_str!("schema/0002.down.sql"),
        oldest: 2,
    },
    Migration {
        up: include_str!("schema/0003.up.sql"),
        down: include_str!("schema/0003.down.sql"),
        oldest: 2,
    },
    Migration {
        up: include_str!("schema/0004.up.sql"),
        down: include_str!("schema/0004.down.sql"),
        oldest: 2,
    },
];

/// Versions at which this release cannot leave a store, because their revisions use another
/// numbering.
const LEFT_BEHIND: std::ops::Range<i32> = 1..2;

/// Advisory lock held during migrations: `ark sche` as a number.
const LOCK: i64 = 0x6172_6b20_7363_6865;

/// Oldest supported server, as `server_version_num`.
const OLDEST_SERVER: i32 = 130_000;

/// Queries the catalog instead of `to_regclass`, whose cached result may predate the migration by
/// another process that held the lock.
static SERVER: Statement = Statement {
    text: "SELECT current_setting('server_version_num')::int4, current_setting('server_encoding'), \
           EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = 'ark' AND c.relname = 'schema_version')",
    types: &[],
};

static VERSION: Statement = Statement {
    text: "SELECT version, oldest FROM ark.schema_version",
    types: &[],
};

static MAY_CREATE: Statement = Statement {
    text: "SELECT has_database_privilege(current_database(), 'CREATE'), current_user::text",
    types: &[],
};

static ROLE: Statement = Statement {
    text: "SELECT quote_ident($1)",
    types: &[Type::TEXT],
};

/// Returns the newest version known to this program.
#[must_use]
pub fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Schema version of a database.
struct Found {
    /// 0 if there is no schema.
    version: i32,
    oldest: i32,
}

async fn find(connection: &Connection) -> Result<Found, Error> {
    let row = connection.query_one(&SERVER, &[], READ_TIMEOUT).await?;
    let server: i32 = row.get(0);
    if server < OLDEST_SERVER {
        return Err(Error::Refused(format!(
            "PostgreSQL {} is too old: use 13 or newer",
            server / 10_000
        )));
    }
    let encoding: String = row.get(1);
    if encoding != "UTF8" {
        return Err(Error::Refused(format!(
            "the database has the encoding {encoding}: create it with ENCODING 'UTF8'"
        )));
    }
    if !row.get::<_, bool>(2) {
        return Ok(Found {
            version: 0,
            oldest: 0,
        });
    }
    let rows = connection.query(&VERSION, &[], READ_TIMEOUT).await?;
    let row = rows
        .first()
        .map(|row| (row.get::<_, i32>(0), row.get::<_, i32>(1)));
    match row {
        Some((version, oldest)) if version >= 1 => Ok(Found { version, oldest }),
        // A schema without its version row: a migration creates and fills both in one transaction.
        found => {
            let found = found.map_or("no version".to_owned(), |(version, _)| {
                format!("version {version}")
            });
            Err(Error::Refused(format!(
                "the table ark.schema_version has {found}, which no program made: the schema `ark` \
                 is not a store's, or damaged: restore a backup or correct the database's name"
            )))
        }
    }
}

/// Rejects a database that this program is incompatible with.
pub(crate) async fn check(connection: &Connection) -> Result<(), Error> {
    let Found { version, oldest } = find(connection).await?;
    let ours = newest();
    if oldest > ours {
        return Err(Error::Refused(format!(
            "the database has schema version {version}, which needs a program that knows version \
             {oldest}; this one knows up to {ours}: upgrade it"
        )));
    }
    if version < ours {
        return Err(Error::Refused(format!(
            "the database has schema version {version}, this program needs {ours}: run \
             `backend-postgres migrate` as a role that owns the schema `ark`"
        )));
    }
    Ok(())
}

/// Migrates the schema to this program's version if it is older and the role may; otherwise the
/// check of every later connection returns the error.
///
/// # Errors
/// If the database is unreachable, or the migration fails.
pub(crate) async fn at_start(options: &Options) -> Result<(), Error> {
    let connection = Connection::open(&options.target, options.pooled, None).await?;
    if find(&connection).await?.version >= newest() {
        return Ok(());
    }
    let row = connection.query_one(&MAY_CREATE, &[], READ_TIMEOUT).await?;
    if !row.get::<_, bool>(0) {
        let role: String = row.get(1);
        tracing::warn!(
            role,
            "the schema is missing or old and the role may not change it"
        );
        return Ok(());
    }
    let walked = migrate_to(&connection, newest(), (options.clock)()).await;
    walked.map_err(by_the_owner)
}

/// Replaces the advice on missing privileges: migrations need the owner, not the privileges of
/// serving.
fn by_the_owner(error: Error) -> Error {
    match error {
        Error::Denied(message) => Error::Refused(format!(
            "database: {message}: run `backend-postgres migrate` as the role that owns the schema \
             `ark`, or, if there is none, as one that may create in the database"
        )),
        error => error,
    }
}

/// Migrates the schema to a version, and grants a role access. Without a version, a schema that is
/// newer than this program, and compatible with it, stays as it is: the init container of a release
/// to which an operator returns must not fail.
///
/// # Errors
/// A message that names the problem of the version, the role or the database.
pub async fn run(options: &Options, to: Option<i32>, grant: Option<&str>) -> Result<i32, Error> {
    let explicit = to.is_some();
    let to = to.unwrap_or_else(newest);
    if to < 0 || to > newest() {
        return Err(Error::Refused(format!(
            "--to {to}: this program knows the versions 0 to {}",
            newest()
        )));
    }
    if LEFT_BEHIND.contains(&to) {
        return Err(Error::Refused(format!(
            "--to {to}: revisions were numbered in another way before version {}; restore a backup \
             from before the upgrade with the program that made it",
            LEFT_BEHIND.end
        )));
    }
    let connection = Connection::open(&options.target, options.pooled, None).await?;
    if !explicit {
        let found = find(&connection).await?;
        if found.version > to && found.oldest <= to {
            return Ok(found.version);
        }
    }
    let migrated = async {
        migrate_to(&connection, to, (options.clock)()).await?;
        match grant.filter(|_| to > 0) {
            Some(role) => grant_to(&connection, role).await,
            None => Ok(()),
        }
    };
    migrated.await.map_err(by_the_owner)?;
    Ok(to)
}

/// Begins a new epoch: all earlier revisions become invalid for clients, who list again. Needed
/// after the database was reset in a way that looks like a crash, such as a snapshot of its disk.
/// Returns the number of the epoch.
///
/// # Errors
/// If the database is unreachable, or holds no store or an unfinished import.
pub async fn new_epoch(options: &Options) -> Result<i64, Error> {
    let connection = Connection::open(&options.target, options.pooled, None).await?;
    check(&connection).await?;
    let store_state = begin_epoch_anyway(&connection, (options.clock)()).await?;
    Ok(store_state.head.epoch)
}

/// Runs one transaction per migration, under an exclusive advisory lock.
async fn migrate_to(connection: &Connection, to: i32, now: SystemTime) -> Result<(), Error> {
    let long_timeouts = "SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = '10min'";
    loop {
        let begin = format!("BEGIN; {long_timeouts}; SELECT pg_advisory_xact_lock({LOCK})");
        connection.simple(&begin, READ_TIMEOUT * 20).await?;
        let version = find(connection).await?.version;
        let Some(script) = step(version, to, now)? else {
            return connection.simple("COMMIT", READ_TIMEOUT).await;
        };
        let limit = std::time::Duration::from_secs(660);
        connection.simple(&script, limit).await?;
        connection.simple("COMMIT", READ_TIMEOUT * 20).await?;
        tracing::info!(from = version, to, "schema migrated");
    }
}

/// Returns the statements of the next migration, if there is one.
fn step(version: i32, to: i32, now: SystemTime) -> Result<Option<String>, Error> {
    let migration =
        |version: i32| {
            let place = usize::try_from(version - 1).ok();
            place.and_then(|place| MIGRATIONS.get(place)).ok_or_else(|| {
            Error::Refused(format!(
                "the database has schema version {version}, which this program does not know: \
                 use the program that made it"
            ))
        })
        };
    let started = Head::made(now).revision;
    let path = format!(
        "SET LOCAL search_path = ark, pg_temp; SET LOCAL ark.clock_revision = '{started}'; \
         SET LOCAL ark.last_kept = '{LAST_IMPORT}';"
    );
    match version.cmp(&to) {
        std::cmp::Ordering::Equal => Ok(None),
        std::cmp::Ordering::Less => {
            let migration = migration(version + 1)?;
            let first = "CREATE SCHEMA IF NOT EXISTS ark; \
                         CREATE TABLE ark.schema_version (version int NOT NULL, oldest int NOT NULL); \
                         INSERT INTO ark.schema_version VALUES (0, 0);";
            let (first, last) = if version == 0 {
                // Clients may remember revisions of an existing store, so it begins a new epoch.
                let begin = format!(
                    "UPDATE store SET epoch = {started}, revision = {started}, \
                     compact_revision = {started};"
                );
                (first, begin)
            } else {
                ("", String::new())
            };
            Ok(Some(format!(
                "{first} {path} {} ; {last} \
                 UPDATE ark.schema_version SET version = {}, oldest = {};",
                migration.up,
                version + 1,
                migration.oldest
            )))
        }
        std::cmp::Ordering::Greater => {
            let down = migration(version)?.down;
            let left = version - 1;
            let last = if left == 0 {
                "DROP TABLE ark.schema_version; DROP SCHEMA ark;".to_owned()
            } else {
                let oldest = migration(left)?.oldest;
                format!("UPDATE ark.schema_version SET version = {left}, oldest = {oldest};")
            };
            Ok(Some(format!("{path} {down} {last}")))
        }
    }
}

/// Grants a role the privileges of serving, and no others: it owns nothing and cannot alter tables.
async fn grant_to(connection: &Connection, role: &str) -> Result<(), Error> {
    let row = connection.query_one(&ROLE, &[&role], READ_TIMEOUT).await?;
    let role: String = row.get(0);
    let text = format!(
        "GRANT USAGE ON SCHEMA ark TO {role}; \
         GRANT SELECT ON ark.schema_version, ark.resources TO {role}; \
         GRANT SELECT, UPDATE ON ark.store TO {role}; \
         GRANT SELECT, INSERT ON ark.resource TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ark.object TO {role}; \
         GRANT SELECT, INSERT ON ark.log TO {role}; \
         GRANT EXECUTE ON FUNCTION ark.extend_log(bigint, bigint, bigint), ark.drop_log(), \
           ark.discard_import(), ark.json_of(bytea) TO {role};"
    );
    connection.simple(&text, READ_TIMEOUT * 5).await
}
