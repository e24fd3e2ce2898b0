//! Tests of the SQL view that docs/sql.md documents.

use backend_postgres::{Options, PostgresDriver};
use backend_proto::v1::op::Action;
use backend_proto::v1::{Key, Op};
use postgres_testkit::{Server, Session};
use sidecar::driver::Driver as _;

use crate::program::database;

const QUERY: &str = r#"{"apiVersion":"ark.mckinsey.com/v1alpha1","kind":"Query","metadata":{"annotations":{"note":"x"},"finalizers":["ark/held"],"generation":3,"labels":{"app.kubernetes.io/name":"agents","team":"blue"},"name":"weather","namespace":"default","ownerReferences":[{"name":"a"}],"uid":"0b5f"},"spec":{"input":"Rain?\u0000","path":"c:\\u0000","big":9007199254740993},"status":{"phase":"done"}}"#;

fn create(namespace: &str, name: &str, value: &[u8]) -> Op {
    Op {
        key: Some(Key {
            group: "ark.mckinsey.com".to_owned(),
            resource: "queries".to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
        action: Action::Create.into(),
        value: value.to_vec().into(),
        ..Op::default()
    }
}

/// Creates a database with three objects, one of which is not JSON; returns the revision of the
/// first.
async fn filled() -> (Server, String, i64) {
    let (server, dsn) = database(Server::builder()).await;
    let options = Options::from_dsn(&dsn).expect("a DSN");
    let driver = PostgresDriver::open(options).await.expect("opened");
    let ops = vec![
        create("default", "weather", QUERY.as_bytes()),
        create("", "cluster", br#"{"kind":"Thing"}"#),
        create("default", "broken", b"\xff{"),
    ];
    let committed = driver.commit(ops).await.expect("committed");
    driver.close().await;
    (server, dsn, committed.events[0].revision)
}

#[tokio::test]
async fn sql_view_has_documented_columns() {
    let (server, dsn, revision) = filled().await;
    let session = Session::connect(&dsn).await.expect("a session");
    let revision = revision.to_string();
    let cases = [
        ("kind", Some("Query")),
        ("namespace", Some("default")),
        ("resource_version", Some(revision.as_str())),
        ("generation", Some("3")),
        ("uid", Some("0b5f")),
        ("spec ->> 'big'", Some("9007199254740993")),
        ("spec ->> 'input'", Some("Rain?\u{fffd}")),
        ("spec ->> 'path'", Some(r"c:\u0000")),
        ("status ->> 'phase'", Some("done")),
        ("labels ->> 'team'", Some("blue")),
        ("labels ->> 'app.kubernetes.io/name'", Some("agents")),
        ("annotations ->> 'note'", Some("x")),
        ("deleted_at", None),
        ("\"group\"", Some("ark.mckinsey.com")),
        ("version", Some("v1alpha1")),
        ("plural", Some("queries")),
        ("owners -> 0 ->> 'name'", Some("a")),
        ("finalizers ->> 0", Some("ark/held")),
        ("object -> 'spec' ->> 'big'", Some("9007199254740993")),
        (
            "created_at = updated_at AND now() - created_at < '1 hour'",
            Some("true"),
        ),
    ];
    for (column, expected) in cases {
        let sql = format!("SELECT ({column})::text FROM ark.resources WHERE name = 'weather'");
        let found = session.text(&sql).await.expect(&sql);
        assert_eq!(found.as_deref(), expected, "{column}");
    }
    let sql = "SELECT string_agg(namespace || ':' || name || ':' || coalesce(kind, '-'), ' ' \
               ORDER BY name) FROM ark.resources";
    let names = session.text(sql).await.expect("names");
    let due = "default:broken:- :cluster:Thing default:weather:Query";
    assert_eq!(names.as_deref(), Some(due));
    drop(server);
}

#[tokio::test]
async fn query_by_kind_and_namespace_uses_an_index() {
    let (server, dsn, _) = filled().await;
    let session = Session::connect(&dsn).await.expect("a session");
    // Three rows would be read without any index.
    let off = session.simple_query("SET enable_seqscan = off").await;
    off.expect("set");
    let query = "EXPLAIN SELECT name, status FROM ark.resources \
                 WHERE kind = 'Query' AND namespace = 'default'";
    let steps = session.simple_query(query).await.expect(query);
    let steps: Vec<&str> = steps
        .iter()
        .filter_map(|step| match step {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    let indexed = |step: &&str| step.contains("object_namespace");
    assert!(steps.iter().any(indexed), "{steps:?}");
    drop(server);
}

#[tokio::test]
async fn documented_sql_statements_run() {
    let (_server, dsn, _) = filled().await;
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sql.md");
    let guide = std::fs::read_to_string(guide).expect("docs/sql.md");
    let section = guide
        .lines()
        .skip_while(|line| *line != "## PostgreSQL")
        .skip(1);
    let section = section.take_while(|line| !line.starts_with("## "));
    let indented = section.filter_map(|line| line.strip_prefix("    "));
    // The statement of a psql command is that between its quotes.
    let statements: String = indented
        .map(|line| match line.strip_prefix("psql ") {
            Some(command) => format!("{};", command.split('\'').nth(1).expect("a statement")),
            None => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n");
    let session = Session::connect(&dsn).await.expect("a session");
    let mut rows = Vec::new();
    for statement in statements.split_inclusive(';') {
        let statement = statement.trim();
        let by_administrator = ["CREATE ROLE", "GRANT", "CREATE SCHEMA"];
        let administrator = by_administrator.iter().any(|it| statement.starts_with(it));
        let role = if administrator { "NONE" } else { "reports" };
        let set = session.simple_query(&format!("SET ROLE {role}")).await;
        set.expect(statement);
        let found = session.simple_query(statement).await.expect(statement);
        let row = |message: &_| matches!(message, tokio_postgres::SimpleQueryMessage::Row(_));
        rows.push(found.iter().filter(|message| row(message)).count());
    }
    // A role with three grants; three groups; no object that is not done; one object with the label,
    // none of the owner, one whole; a schema, and a view in it.
    assert_eq!(rows, [0, 0, 0, 0, 3, 0, 1, 0, 1, 0, 0, 0]);
    let rejected = session.simple_query("SELECT * FROM ark.object").await;
    assert!(rejected.is_err(), "reports reads more than the view");
}
