//! Stores of releases before 0.2, whose resource versions had 18 digits: they open, and clients
//! list once.

use std::path::Path;

use http::StatusCode;
use postgres_testkit::Server;
use rustix::process::Signal;
use serde_json::Value;

use crate::client::Client;
use crate::program::{Program, on_postgres};

const MEMORIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/memories";
const SQLITE: &[u8] = include_bytes!("../../../backend-sqlite/tests/fixtures/before-0.2.db");
const POSTGRES: &str = include_str!("../../../backend-postgres/tests/fixtures/before-0.2.sql");

/// Versions that clients of those stores hold: the last change of each store and the one before.
const HELD: [u64; 4] = [
    263_279_296_198_320_132,
    263_279_296_198_320_131,
    263_280_395_672_477_700,
    263_280_395_672_477_699,
];

fn version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.unwrap().parse().unwrap()
}

/// A watch with a version of the old store ends with 410 once; the version of the following list
/// can be watched.
async fn clients_list_once(client: &Client) {
    for held in HELD {
        let path = format!("{MEMORIES}?watch=1&resourceVersion={held}&timeoutSeconds=5");
        let mut watch = client.watch(&path).await;
        let event = watch.event().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["code"]),
            (&"ERROR".into(), &410.into())
        );
        assert!(watch.event().await.is_none(), "nothing follows the error");
        for matching in [
            "",
            "&resourceVersionMatch=Exact",
            "&resourceVersionMatch=NotOlderThan",
        ] {
            let path = format!("{MEMORIES}?resourceVersion={held}{matching}");
            let (status, body) = client.get(&path).await;
            assert_eq!(status, StatusCode::GONE, "{body}");
        }
    }
    let (status, body) = client.get(MEMORIES).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let list: Value = serde_json::from_str(&body).unwrap();
    let items = list["items"].as_array().unwrap();
    let names: Vec<_> = items.iter().map(|it| &it["metadata"]["name"]).collect();
    assert_eq!(names, ["m2", "m3", "m4"]);
    for object in items.iter().chain([&list]) {
        assert!((1..1 << 53).contains(&version(object)), "{object}");
    }
    let path = format!("{MEMORIES}?watch=1&resourceVersion={}", version(&list));
    let mut watch = client.watch(&path).await;
    let (status, body) = client
        .send("DELETE", &format!("{MEMORIES}/m4"), String::new())
        .await
        .unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    let event = watch.event().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["metadata"]["name"]),
        (&"DELETED".into(), &"m4".into())
    );
    assert_eq!(version(&event["object"]), version(&list) + 1);
}

fn stop(program: Program) {
    program.signal(Signal::TERM);
    assert!(program.ended().0.success());
}

#[tokio::test]
async fn sqlite_store_of_earlier_release_is_served_and_watchers_relist_once() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    private(&data);
    std::fs::write(data.join("ark.db"), SQLITE).unwrap();
    let program = Program::start(&data, &[]);
    clients_list_once(&program.admin()).await;
    stop(program);
}

#[tokio::test]
async fn postgresql_store_of_earlier_release_is_served_and_watchers_relist_once() {
    let server = Server::builder().start().await.unwrap();
    let dsn = server.create_database("ark").await.unwrap();
    server.execute("ark", POSTGRES).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let program = on_postgres(&dsn, &directory.path().join("data"));
    clients_list_once(&program.admin()).await;
    stop(program);
}

fn private(folder: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .unwrap();
}
