//! Tests of the SQL view that docs/sql.md documents.

use rusqlite::{Connection, OpenFlags};

use crate::driver::store::{Store, create, delete};

const QUERY: &str = r#"{"apiVersion":"ark.mckinsey.com/v1alpha1","kind":"Query","metadata":{"annotations":{"note":"x"},"finalizers":["ark/held"],"generation":3,"labels":{"app.kubernetes.io/name":"agents","team":"blue"},"name":"weather","namespace":"default","ownerReferences":[{"name":"a"}],"uid":"0b5f"},"spec":{"input":"Rain?","big":9007199254740993},"status":{"phase":"done"}}"#;

#[tokio::test]
async fn sql_view_has_documented_columns() {
    let store = Store::new();
    let revision = store.apply(create("default/weather", QUERY)).await;
    store.apply(create("cluster", r#"{"kind":"Thing"}"#)).await;
    store
        .apply(create("default/other", r#"{"kind":"Query"}"#))
        .await;
    store.apply(delete("default/other")).await;
    let file = Connection::open_with_flags(store.path(), OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("readable while in use");
    let text =
        |sql: &str| -> Option<String> { file.query_row(sql, [], |row| row.get(0)).expect(sql) };
    let weather = |column: &str| {
        text(&format!(
            "SELECT CAST({column} AS TEXT) FROM resources WHERE name = 'weather'"
        ))
    };
    let cases = [
        ("kind", Some("Query")),
        ("namespace", Some("default")),
        ("generation", Some("3")),
        ("uid", Some("0b5f")),
        ("spec", Some(r#"{"input":"Rain?","big":9007199254740993}"#)),
        ("spec ->> 'input'", Some("Rain?")),
        ("spec ->> 'big'", Some("9007199254740993")),
        ("status ->> 'phase'", Some("done")),
        ("labels ->> 'team'", Some("blue")),
        (r#"labels ->> '$."app.kubernetes.io/name"'"#, Some("agents")),
        ("annotations ->> 'note'", Some("x")),
        ("deleted_at", None),
        (r#""group""#, Some("ark.mckinsey.com")),
        ("version", Some("v1alpha1")),
        ("plural", Some("queries")),
        ("owners ->> '$[0].name'", Some("a")),
        ("finalizers ->> '$[0]'", Some("ark/held")),
        ("object", Some(QUERY)),
    ];
    for (column, expected) in cases {
        assert_eq!(weather(column).as_deref(), expected, "{column}");
    }
    assert_eq!(weather("resource_version"), Some(revision.to_string()));
    for column in ["created_at", "updated_at"] {
        let time = weather(column).expect("a time");
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    }
    let names = text("SELECT group_concat(namespace || ':' || name, ' ') FROM resources");
    assert_eq!(names.as_deref(), Some(":cluster default:weather"));
}

#[tokio::test]
async fn query_by_kind_and_namespace_uses_an_index() {
    let store = Store::new();
    store.apply(create("default/weather", QUERY)).await;
    let file = Connection::open(store.path()).expect("readable while in use");
    let query = "EXPLAIN QUERY PLAN SELECT name, status FROM resources \
                 WHERE kind = 'Query' AND namespace = 'default'";
    let mut prepared = file.prepare(query).expect(query);
    let steps = prepared.query_map([], |row| row.get::<_, String>(3));
    let steps: Vec<String> = steps.expect(query).map(|step| step.expect(query)).collect();
    assert!(
        steps
            .iter()
            .any(|step| step.contains("INDEX current_namespace")),
        "{steps:?}"
    );
}

#[tokio::test]
async fn documented_sql_statements_run() {
    let store = Store::new();
    store.apply(create("default/weather", QUERY)).await;
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sql.md");
    let guide = std::fs::read_to_string(guide).expect("docs/sql.md");
    let section = guide.lines().skip_while(|line| *line != "## SQLite");
    let indented = section.filter_map(|line| line.strip_prefix("    "));
    let statements: String = indented
        .skip_while(|line| !line.starts_with("SELECT"))
        .filter(|line| !line.starts_with("backend-sqlite"))
        .collect::<Vec<_>>()
        .join("\n");
    let file = Connection::open(store.path()).expect("readable while in use");
    let mut rows = Vec::new();
    for statement in statements.split_inclusive(';') {
        let mut prepared = file.prepare(statement).expect(statement);
        let mut found = prepared.query([]).expect(statement);
        let mut count = 0;
        while found.next().expect(statement).is_some() {
            count += 1;
        }
        rows.push(count);
    }
    // The only object is done, counts as one, has both labels, and is shown.
    assert_eq!(rows, [0, 1, 1, 1, 1]);
}
