//! Tests of starts while the database is unavailable, and of what other users can see of the
//! process.

use std::time::{Duration, Instant};

use backend_proto::v1::CurrentRevisionRequest;
use postgres_testkit::{Mode, Pair, Proxy, Server, Stop};

use crate::program::{Program, database};

const PASSWORD: &str = "hush-hush";

#[tokio::test]
async fn start_waits_for_unreachable_database() {
    let (mut server, dsn) = database(Server::builder()).await;
    server.stop(Stop::Fast).await.expect("stopped");
    let variables = [("ARK_BACKEND_POSTGRES_DSN", dsn.as_str())];
    let mut program = Program::new();
    program.serve(&[], &variables);
    program.says("waiting for the database").await;
    server.start_again().await.expect("started");
    program.responds().await;
    program.terminate();
    assert!(program.ends().await.status.success(), "an orderly end");

    server.stop(Stop::Fast).await.expect("stopped");
    let mut program = Program::new();
    program.serve(&[], &variables);
    program.says("waiting for the database").await;
    let started = Instant::now();
    program.terminate();
    let ended = program.ends().await;
    assert!(ended.status.success(), "{}", ended.output);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "it waits on: {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn standby_is_not_served_until_promoted() {
    let mut pair = Pair::start(Server::builder()).await.expect("a pair");
    pair.primary()
        .create_database("ark")
        .await
        .expect("a database");
    pair.caught_up().await.expect("replayed");
    let proxy = Proxy::start(pair.standby().address()).await;
    let proxy = proxy.expect("a proxy");
    proxy.set(Mode::Refuse).await.expect("a closed port");
    let dsn = proxy.dsn(&pair.standby().dsn("ark"));
    let mut program = Program::new();
    program.serve(&[], &[("ARK_BACKEND_POSTGRES_DSN", &dsn)]);
    program.says("waiting for the database").await;
    // A changed reason for waiting is logged again.
    proxy.set(Mode::Forward).await.expect("an open port");
    program.says("does not allow writes").await;
    let client = program.endpoint().client();
    let requested = client
        .clone()
        .current_revision(CurrentRevisionRequest {})
        .await;
    assert!(requested.is_err(), "a standby is served");
    // The standby becomes a primary.
    pair.kill_primary().await.expect("killed");
    pair.promote().await.expect("promoted");
    program.responds().await;
}

#[tokio::test]
async fn password_appears_in_no_command_line_and_no_log() {
    let (server, _) = database(Server::builder().user("ark", PASSWORD)).await;
    server
        .execute("ark", "grant create on database ark to ark")
        .await
        .expect("granted");
    let dsn = server.user_dsn("ark", "ark").expect("a user");
    let port = server.port().to_string();
    let place = [
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "--database",
        "ark",
        "--username",
        "ark",
    ];
    let folder = tempfile::tempdir().expect("temporary directory");
    let file = crate::program::path(&folder.path().join("password"));
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
    let by_file = [&place[..], &["--password-file", &file]].concat();
    let by_variable = ("ARK_BACKEND_POSTGRES_PASSWORD", PASSWORD);
    let by_dsn = ("ARK_BACKEND_POSTGRES_DSN", dsn.as_str());
    let chatty = ("ARK_LOG", "debug");
    for (flags, variables) in [
        (&by_file[..], &[chatty][..]),
        (&place[..], &[chatty, by_variable]),
        (&[], &[chatty, by_dsn]),
    ] {
        let mut program = Program::new();
        let id = program.serve(flags, variables);
        program.responds().await;
        let line = std::fs::read(format!("/proc/{id}/cmdline")).expect("a command line");
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains(PASSWORD), "{line}");
        assert!(!program.output().contains(PASSWORD), "{}", program.output());
        let titles = "select string_agg(application_name, ' ') from pg_stat_activity";
        let session = server.session("ark").await.expect("a session");
        let titles = session
            .text(titles)
            .await
            .expect("asked")
            .unwrap_or_default();
        assert!(
            titles.contains("backend-postgres") && !titles.contains(PASSWORD),
            "{titles}"
        );
    }
}
