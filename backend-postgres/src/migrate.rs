//! Versions of the schema: up at start or by `migrate`, down only by `migrate --to`.
//!
//! The table `ark.schema_version` says which version the database has and the oldest program that
//! can work with it, so that a database may be a step ahead of programs that still run.

use std::time::SystemTime;

use backend_proto::limits::LAST_IMPORT;
use sidecar::head::Head;
use tokio_postgres::types::Type;

use crate::connection::{ANSWER, Connection, Statement};
use crate::error::Error;
use crate::options::Options;
use crate::store::begin_epoch_anyway;

/// A step between two versions.
struct Migration {
    up: &'static str,
    down: &'static str,
    /// The oldest version of a program that works with the result.
    oldest: i32,
}

/// Version `n` of the schema is what the first `n` migrations make.
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
];

/// Versions that programs of this release cannot leave a store at: their revisions are numbered in
/// another way.
const LEFT_BEHIND: std::ops::Range<i32> = 1..2;

/// Held by whoever changes the schema: `ark schema` as a number.
const LOCK: i64 = 0x6172_6b20_7363_6865;

/// Oldest server, as `server_version_num` has it.
const OLDEST_SERVER: i32 = 130_000;

/// Looks the table up in the catalog and not by `to_regclass`, which may answer from before another
/// process, for whose lock we waited, made it.
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

/// The newest version that this program knows.
#[must_use]
pub fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// What a server holds.
struct Found {
    /// 0 if there is no schema.
    version: i32,
    oldest: i32,
}

async fn find(connection: &Connection) -> Result<Found, Error> {
    let row = connection.query_one(&SERVER, &[], ANSWER).await?;
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
    let rows = connection.query(&VERSION, &[], ANSWER).await?;
    let row = rows
        .first()
        .map(|row| (row.get::<_, i32>(0), row.get::<_, i32>(1)));
    match row {
        Some((version, oldest)) if version >= 1 => Ok(Found { version, oldest }),
        // Made and filled in one transaction.
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

/// Refuses a database that this program cannot work with.
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

/// Brings the schema to this program's version if it is older and our role may; the check of every
/// later connection says what is wrong otherwise.
///
/// # Errors
/// If the database cannot be reached, or the migration fails.
pub(crate) async fn at_start(options: &Options) -> Result<(), Error> {
    let connection = Connection::open(&options.target, options.pooled, None).await?;
    if find(&connection).await?.version >= newest() {
        return Ok(());
    }
    let row = connection.query_one(&MAY_CREATE, &[], ANSWER).await?;
    if !row.get::<_, bool>(0) {
        let role: String = row.get(1);
        tracing::warn!(
            role,
            "the schema is missing or old and the role may not change it"
        );
        return Ok(());
    }
    let walked = walk(&connection, newest(), (options.clock)()).await;
    walked.map_err(by_the_owner)
}

/// Serving needs fewer rights than what makes the schema.
fn by_the_owner(error: Error) -> Error {
    match error {
        Error::Denied(message) => Error::Refused(format!(
            "database: {message}: run `backend-postgres migrate` as the role that owns the schema \
             `ark`, or, if there is none, as one that may create in the database"
        )),
        error => error,
    }
}

/// Brings the schema to a version, and lets a role use it.
///
/// # Errors
/// One sentence: what is wrong with the version, the role or the database.
pub async fn run(options: &Options, to: Option<i32>, grant: Option<&str>) -> Result<i32, Error> {
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
    let migrated = async {
        walk(&connection, to, (options.clock)()).await?;
        match grant.filter(|_| to > 0) {
            Some(role) => grant_to(&connection, role).await,
            None => Ok(()),
        }
    };
    migrated.await.map_err(by_the_owner)?;
    Ok(to)
}

/// Begins a new epoch: every revision from before is gone for clients, who list again. Needed after
/// the database was set back in a way that cannot be told from a crash, such as a snapshot of its
/// disk. Gives the epoch's number.
///
/// # Errors
/// If the database cannot be reached, or holds no store, or an unfinished one.
pub async fn new_epoch(options: &Options) -> Result<i64, Error> {
    let connection = Connection::open(&options.target, options.pooled, None).await?;
    check(&connection).await?;
    let stand = begin_epoch_anyway(&connection, (options.clock)()).await?;
    Ok(stand.head.epoch)
}

/// One transaction per step, each alone in the database.
async fn walk(connection: &Connection, to: i32, now: SystemTime) -> Result<(), Error> {
    let patient = "SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = '10min'";
    loop {
        let begin = format!("BEGIN; {patient}; SELECT pg_advisory_xact_lock({LOCK})");
        connection.simple(&begin, ANSWER * 20).await?;
        let version = find(connection).await?.version;
        let Some(script) = step(version, to, now)? else {
            return connection.simple("COMMIT", ANSWER).await;
        };
        let limit = std::time::Duration::from_secs(660);
        connection.simple(&script, limit).await?;
        connection.simple("COMMIT", ANSWER * 20).await?;
        tracing::info!(from = version, to, "schema migrated");
    }
}

/// The statements of the next step, if there is one.
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
    let begun = Head::made(now).revision;
    let path = format!(
        "SET LOCAL search_path = ark, pg_temp; SET LOCAL ark.clock_revision = '{begun}'; \
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
                // Of a store that was here before, clients may remember revisions.
                let begin = format!(
                    "UPDATE store SET epoch = {begun}, revision = {begun}, \
                     compact_revision = {begun};"
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

/// What a role needs to serve, and no more: it owns nothing, and changes no table's form.
async fn grant_to(connection: &Connection, role: &str) -> Result<(), Error> {
    let row = connection.query_one(&ROLE, &[&role], ANSWER).await?;
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
    connection.simple(&text, ANSWER * 5).await
}
