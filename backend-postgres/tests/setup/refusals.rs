//! Tests of rejected databases: a one-line message with the remedy, and an exit code.

use backend_proto::v1::op::Action;
use backend_proto::v1::{Key, Op};
use postgres_testkit::{PoolMode, Pooler, Server, Session};
use sidecar::Driver as _;

use crate::program::{DEADLINE, Program, database, migrate, rejection};

/// A login role that owns nothing.
const ROLE: &str = "runtime";
const PASSWORD: &str = "hush-hush";

async fn role() -> (Server, String, Session) {
    let (server, _) = database(Server::builder().user(ROLE, PASSWORD)).await;
    let dsn = server.user_dsn(ROLE, "ark").expect("the role");
    let session = server.session("ark").await.expect("a session");
    (server, dsn, session)
}

#[tokio::test]
async fn incompatible_schema_is_rejected() {
    let (server, dsn, session) = role().await;
    let missing = rejection(&["--dsn", &dsn], &[]).await;
    assert!(
        missing.contains("schema version 0, this program needs 4"),
        "{missing}"
    );
    assert!(missing.contains("backend-postgres migrate"), "{missing}");
    let may_not = migrate(&dsn, &[]).await.expect_err("refused");
    assert!(
        may_not.contains("permission denied for database ark"),
        "{may_not}"
    );
    assert!(
        may_not.contains("that may create in the database"),
        "{may_not}"
    );
    assert!(!may_not.contains("--grant"), "{may_not}");

    let owner = server.dsn("ark");
    migrate(&owner, &["--grant", ROLE]).await.expect("migrated");
    let newer = "update ark.schema_version set version = 7, oldest = 5";
    session.batch_execute(newer).await.expect("changed");
    for dsn in [&dsn, &owner] {
        let newer = rejection(&["--dsn", dsn], &[]).await;
        assert!(newer.contains("schema version 7"), "{newer}");
        assert!(
            newer.contains("this one knows up to 4: upgrade it"),
            "{newer}"
        );
    }
    for (change, words) in [
        ("update ark.schema_version set version = 0", "has version 0"),
        (
            "update ark.schema_version set version = -1",
            "has version -1",
        ),
        ("delete from ark.schema_version", "has no version"),
    ] {
        session.batch_execute(change).await.expect("changed");
        for rejected in [
            rejection(&["--dsn", &owner], &[]).await,
            migrate(&owner, &[]).await.expect_err("refused"),
        ] {
            assert!(rejected.contains(words), "{rejected}");
            assert!(rejected.contains("restore a backup"), "{rejected}");
        }
    }
    let newer = "insert into ark.schema_version values (7, 5)";
    session.batch_execute(newer).await.expect("changed");
    let down = migrate(&owner, &["--to", "2"]).await.expect_err("refused");
    assert!(down.contains("use the program that made it"), "{down}");
}

#[tokio::test]
async fn damaged_store_row_is_rejected() {
    let (server, dsn) = database(Server::builder()).await;
    let options = || backend_postgres::Options::from_dsn(&dsn).expect("a DSN");
    let driver = backend_postgres::PostgresDriver::open(options()).await;
    let driver = driver.expect("made");
    let key = Some(Key {
        resource: "things".to_owned(),
        name: "a".to_owned(),
        ..Key::default()
    });
    let op = Op {
        key,
        action: Action::Create.into(),
        ..Op::default()
    };
    driver.commit(vec![op]).await.expect("written");
    driver.close().await;
    let session = server.session("ark").await.expect("a session");
    for (damage, repair, words) in [
        (
            "epoch = revision + 1",
            "epoch = compact_revision",
            "in that order",
        ),
        ("epoch = -1", "epoch = compact_revision", "has epoch -1"),
        (
            "compact_revision = revision + 1",
            "compact_revision = epoch",
            "in that order",
        ),
        (
            "revision = revision - 1",
            "revision = revision + 1",
            "changes up to",
        ),
    ] {
        let damaged = format!("update ark.store set {damage}");
        session.batch_execute(&damaged).await.expect("damaged");
        let line = rejection(&["--dsn", &dsn], &[]).await;
        assert!(line.contains(words), "{damage}: {line}");
        assert!(line.contains("restore a backup"), "{damage}: {line}");
        let repaired = format!("update ark.store set {repair}");
        session.batch_execute(&repaired).await.expect("repaired");
    }
}

#[tokio::test]
async fn role_without_privileges_is_rejected() {
    let (server, dsn, session) = role().await;
    migrate(&server.dsn("ark"), &[]).await.expect("migrated");
    let nothing = rejection(&["--dsn", &dsn], &[]).await;
    assert!(
        nothing.contains("permission denied for schema ark"),
        "{nothing}"
    );
    assert!(nothing.contains("migrate --grant"), "{nothing}");
    let unknown = migrate(&server.dsn("ark"), &["--grant", "nobody there"]).await;
    let unknown = unknown.expect_err("refused");
    assert!(
        unknown.contains("role \"nobody there\" does not exist"),
        "{unknown}"
    );
    // Revoke one of the granted privileges.
    migrate(&server.dsn("ark"), &["--grant", ROLE])
        .await
        .expect("granted");
    let less = format!("revoke select on ark.store from {ROLE}");
    session.batch_execute(&less).await.expect("revoked");
    let less = rejection(&["--dsn", &dsn], &[]).await;
    assert!(less.contains("permission denied for table store"), "{less}");
}

#[tokio::test]
async fn failed_logins_are_reported() {
    let (server, dsn, _session) = role().await;
    let wrong = dsn.replace(PASSWORD, "wrong-word");
    let port = server.port().to_string();
    let place = ["--host", "127.0.0.1", "--port", &port, "--database", "ark"];
    let flags = [&place[..], &["--username", ROLE]].concat();
    let by_variable = [("ARK_BACKEND_POSTGRES_PASSWORD", "wrong-word")];
    let by_dsn = [("ARK_BACKEND_POSTGRES_DSN", wrong.as_str())];
    for (flags, variables) in [(&flags[..], &by_variable), (&[], &by_dsn)] {
        let rejected = rejection(flags, variables).await;
        assert!(
            rejected.contains("password authentication failed"),
            "{rejected}"
        );
        assert!(!rejected.contains("wrong-word"), "{rejected}");
    }
    let nobody = dsn.replace(ROLE, "nobody");
    let nowhere = format!("{dsn}-not");
    for (dsn, words) in [
        (&nobody, "nobody"),
        (&nowhere, "\"ark-not\" does not exist"),
    ] {
        let rejected = rejection(&["--dsn", dsn], &[]).await;
        assert!(rejected.contains(words), "{rejected}");
        assert!(!rejected.contains(PASSWORD), "{rejected}");
    }
    let file = ["--password-file", "/nowhere/password"];
    let rejected = rejection(&[&flags[..], &file].concat(), &[]).await;
    assert!(rejected.contains("/nowhere/password"), "{rejected}");
}

#[tokio::test]
async fn database_with_other_encoding_is_rejected() {
    let (server, _) = database(Server::builder()).await;
    let statement = "create database latin encoding 'LATIN1' template template0";
    server
        .execute("postgres", statement)
        .await
        .expect("a database");
    let rejected = rejection(&["--dsn", &server.dsn("latin")], &[]).await;
    assert!(
        rejected.contains("LATIN1") && rejected.contains("UTF8"),
        "{rejected}"
    );
    let rejected = migrate(&server.dsn("latin"), &[])
        .await
        .expect_err("refused");
    assert!(rejected.contains("LATIN1"), "{rejected}");
}

/// Pairs of drivers that a pooler may serve before it mixes up their sessions.
const ATTEMPTS: usize = 5;

/// Clients of a transaction pooler share sessions, and with them the names of statements.
#[tokio::test]
async fn transaction_pooler_without_its_flag_is_rejected() {
    let (server, direct) = database(Server::builder()).await;
    migrate(&direct, &[]).await.expect("migrated");
    // The second driver is rejected if the pooler gives it a connection of the first one, which
    // depends on what the first one does at that moment.
    for _ in 0..ATTEMPTS {
        let pooler = Pooler::start(&server, PoolMode::Transaction).await;
        let pooler = pooler.unwrap_or_else(|error| panic!("{error}"));
        let dsn = pooler.dsn("ark");
        let mut first = Program::new();
        first.serve(&["--dsn", &dsn, "--notify-dsn", &direct], &[]);
        first.responds().await;
        let flags = ["--dsn", &dsn, "--notify-dsn", &direct];
        let second = rejection(&flags, &[]);
        let Ok(rejected) = tokio::time::timeout(DEADLINE / 2, second).await else {
            continue;
        };
        assert!(rejected.contains("add --pooler transaction"), "{rejected}");
        assert!(!rejected.contains("26000"), "{rejected}");
        return;
    }
    panic!("served {ATTEMPTS} times");
}
