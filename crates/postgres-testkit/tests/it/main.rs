//! Tests of the testkit with the PostgreSQL of this machine.

mod archive;
mod pair;
mod pooler;
mod proxy;
mod server;
mod tls;

use postgres_testkit::Session;

/// Creates a table of numbers, to check which commits exist.
async fn make_table(session: &Session) {
    session
        .batch_execute("create table t (n bigint primary key)")
        .await
        .expect("a table");
}

async fn insert(session: &Session, number: i64) {
    let statement = format!("insert into t values ({number})");
    session.batch_execute(&statement).await.expect("an insert");
}

async fn numbers(session: &Session) -> String {
    let found = session.text("select coalesce(string_agg(n::text, ' ' order by n), '') from t");
    found.await.expect("a select").expect("a row")
}
