//! Tests of migrations up, down and up again, also by concurrent processes.

use postgres_testkit::{PoolMode, Pooler, Server, Session};

use crate::program::{Program, database, migrate};

async fn version(session: &Session) -> Option<String> {
    let found = "select version from ark.schema_version";
    session.text(found).await.ok().flatten()
}

#[tokio::test]
async fn schema_migrates_up_down_and_up() {
    let (server, dsn) = database(Server::builder()).await;
    let session = server.session("ark").await.expect("a session");
    assert_eq!(migrate(&dsn, &[]).await.as_deref(), Ok("schema version 4"));
    assert_eq!(
        migrate(&dsn, &["--to", "4"]).await.as_deref(),
        Ok("schema version 4")
    );
    let store = "select store_id from ark.store";
    let first = session.text(store).await.expect("asked");

    let careful = migrate(&dsn, &["--to", "0"]).await.expect_err("refused");
    assert!(careful.contains("--remove-everything"), "{careful}");
    assert_eq!(
        version(&session).await.as_deref(),
        Some("4"),
        "nothing was removed"
    );
    for unknown in ["-1", "5"] {
        let flag = format!("--to={unknown}");
        let rejected = migrate(&dsn, &[&flag]).await.expect_err("refused");
        assert!(rejected.contains("knows the versions 0 to 4"), "{rejected}");
    }
    let down = migrate(&dsn, &["--to", "0", "--remove-everything"]).await;
    assert_eq!(down.as_deref(), Ok("schema version 0"));
    let left = "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace \
                where nspname = 'ark'";
    assert_eq!(
        session.text(left).await.expect("asked").as_deref(),
        Some("0")
    );

    assert_eq!(migrate(&dsn, &[]).await.as_deref(), Ok("schema version 4"));
    let second = session.text(store).await.expect("asked");
    assert_ne!(first, second, "another store");
}

#[tokio::test]
async fn newer_compatible_schema_stays_unless_a_version_is_given() {
    let (server, dsn) = database(Server::builder()).await;
    let session = server.session("ark").await.expect("a session");
    migrate(&dsn, &[]).await.expect("migrated");
    let raise = |oldest: i32| {
        format!(
            "update ark.schema_version set version = 9, oldest = {oldest} returning version::text"
        )
    };
    session.text(&raise(4)).await.expect("raised");
    assert_eq!(migrate(&dsn, &[]).await.as_deref(), Ok("schema version 9"));
    let rejected = migrate(&dsn, &["--to", "4"]).await.expect_err("refused");
    assert!(rejected.contains("does not know"), "{rejected}");
    session.text(&raise(5)).await.expect("raised");
    let rejected = migrate(&dsn, &[]).await.expect_err("refused");
    assert!(rejected.contains("does not know"), "{rejected}");
}

#[tokio::test]
async fn concurrent_migrations_are_serialized() {
    let (server, dsn) = database(Server::builder()).await;
    let mut programs: Vec<Program> = (0..3).map(|_| Program::new()).collect();
    for program in &mut programs {
        program.serve(&[], &[("ARK_BACKEND_POSTGRES_DSN", &dsn)]);
    }
    let (one, other) = tokio::join!(migrate(&dsn, &[]), migrate(&dsn, &[]));
    assert_eq!(
        (one.as_deref(), other.as_deref()),
        (Ok("schema version 4"), Ok("schema version 4"))
    );
    for program in &mut programs {
        program.responds().await;
    }
    let session = server.session("ark").await.expect("a session");
    let rows = session
        .text("select count(*) from ark.store")
        .await
        .expect("asked");
    assert_eq!(rows.as_deref(), Some("1"));
}

/// Session settings and prepared statements would affect the next client of a pooled connection.
#[tokio::test]
async fn migration_leaves_no_session_state_in_pooled_connections() {
    let (server, direct) = database(Server::builder()).await;
    let pooler = Pooler::start(&server, PoolMode::Transaction).await;
    let pooler = pooler.unwrap_or_else(|error| panic!("{error}"));
    let dsn = pooler.dsn("ark");
    let pooled = ["--pooler", "transaction"];
    // The second migration reuses the connection of the first.
    for _ in 0..2 {
        let migrated = migrate(&dsn, &pooled).await;
        assert_eq!(migrated.as_deref(), Ok("schema version 4"));
    }
    migrate(&direct, &["--to", "0", "--remove-everything"])
        .await
        .expect("removed");
    let mut program = Program::new();
    program.serve(&pooled, &[("ARK_BACKEND_POSTGRES_DSN", &dsn)]);
    program.responds().await;
    program.terminate();
    assert!(program.ends().await.status.success(), "an orderly end");
    let left = "select concat_ws(' ', current_setting('enable_seqscan'), \
                current_setting('statement_timeout'), current_setting('lock_timeout'), \
                (select count(*) from pg_prepared_statements))";
    let mut sessions = Vec::new();
    for _ in 0..10 {
        // Each session keeps its connection: together they hold all of the pool.
        let session = Session::connect(&dsn).await.expect("a session");
        session.batch_execute("begin").await.expect("begun");
        let left = session.text(left).await.expect("asked");
        assert_eq!(left.as_deref(), Some("on 0 0 0"));
        sessions.push(session);
    }
}
