//! Tests of databases whose sessions have `standard_conforming_strings = off`.

use backend_postgres::{Options, PostgresDriver};
use backend_proto::v1::op::Action;
use backend_proto::v1::{Key, Op};
use postgres_testkit::Server;
use sidecar::driver::Driver as _;

use crate::program::{database, migrate};

/// A value that needs every backslash of the view and its function.
const VALUE: &str = r#"{"kind":"Query","metadata":{"generation":3,"deletionTimestamp":"2026-01-02T03:04:05Z"},"spec":{"input":"Rain?\u0000","path":"c:\\u0000"}}"#;

#[tokio::test]
async fn view_is_right_without_standard_conforming_strings() {
    let (server, dsn) = database(Server::builder()).await;
    let off = "alter database ark set standard_conforming_strings = off";
    server.execute("postgres", off).await.expect("set");
    migrate(&dsn, &[]).await.expect("migrated");
    let options = Options::from_dsn(&dsn).expect("a DSN");
    let driver = PostgresDriver::open(options).await.expect("opened");
    let op = Op {
        key: Some(Key {
            resource: "queries".to_owned(),
            name: "a".to_owned(),
            ..Key::default()
        }),
        action: Action::Create.into(),
        value: VALUE.into(),
        ..Op::default()
    };
    driver.commit(vec![op]).await.expect("committed");
    driver.close().await;
    for setting in ["off", "on"] {
        let session = server.session("ark").await.expect("a session");
        let set = format!("set standard_conforming_strings = {setting}");
        session.batch_execute(&set).await.expect("set");
        for (column, expected) in [
            ("generation", "3"),
            ("spec ->> 'input'", "Rain?\u{fffd}"),
            ("spec ->> 'path'", r"c:\u0000"),
            ("extract(year from deleted_at)", "2026"),
        ] {
            let sql = format!("select ({column})::text from ark.resources");
            let found = session.text(&sql).await.expect(&sql);
            assert_eq!(found.as_deref(), Some(expected), "{setting}: {column}");
        }
    }
}
