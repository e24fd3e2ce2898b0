//! Tests of `verify`, `history`, `compact` and `fence`.

use backend_proto::v1::Origin;
use backend_proto::v1::op::Action;

use crate::store::{Kind, Store, op, program, run, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_compares_stores() {
    let (one, other) = (
        Store::start(Kind::Model).await,
        Store::start(Kind::Sqlite).await,
    );
    let (at, against) = (one.address(), other.address());
    let compare = async || run(&["verify", "--at", &at, "--against", &against]).await;
    one.fill(100, 300).await;
    let output = compare().await.expect_err("one is empty");
    assert!(
        output.contains("queries.ark.mckinsey.com/ns/q000000 is missing"),
        "{output}"
    );
    // Separate stores begin at different revisions; only a copy has the same.
    let copy = ["copy", "--from", &at, "--to", &against, "--planned"];
    run(&copy).await.expect("copied");
    compare().await.expect("equal");
    let equal = one.head().await.revision.to_string();
    let change = |value: &'static str| vec![op(Action::Update, "ns/q000050", value)];
    write(&mut one.client(), change("{}"))
        .await
        .expect("written");
    let output = compare().await.expect_err("one went on");
    assert!(output.contains("the revisions differ"), "{output}");
    let before = ["verify", "--at", &at, "--against", &against, "--revision"];
    run(&[&before[..], &[&equal]].concat())
        .await
        .expect("equal, as they were");
    write(&mut other.client(), change("[]"))
        .await
        .expect("written");
    let output = compare().await.expect_err("another value");
    assert!(
        output.contains("queries.ark.mckinsey.com/ns/q000050 (the values)"),
        "{output}"
    );
    let alone = run(&["verify", "--at", &at]).await.expect("readable");
    assert!(alone.contains("all: 100 records"), "{alone}");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_lists_changes_of_object() {
    let store = Store::start(Kind::Sqlite).await;
    let mut client = store.client();
    let at = store.address();
    let steps = [
        (Action::Create, r#"{"spec":{"a":1}}"#),
        (Action::Update, r#"{"spec":{"a":2}}"#),
        (Action::Update, r#"{"spec":{"a":3,"b":[]}}"#),
        (Action::Delete, ""),
    ];
    let mut revisions = Vec::new();
    for (action, value) in steps {
        revisions.push(
            write(&mut client, vec![op(action, "ns/a", value)])
                .await
                .expect("written"),
        );
        write(
            &mut client,
            vec![op(
                Action::Create,
                &format!("ns/x{}", revisions.len()),
                "{}",
            )],
        )
        .await
        .expect("written");
    }
    let key = "queries.ark.mckinsey.com/ns/a";
    let output = run(&["history", "--at", &at, key, "--diff"])
        .await
        .expect("printed");
    let lines: Vec<&str> = output.lines().collect();
    let words = [
        "created",
        "spec.a: (none) → 1",
        "updated",
        "spec.a: 1 → 2",
        "updated",
        "spec.a: 2 → 3",
        "spec.b: (none) → []",
        "deleted",
        "spec.a: 3 → (none)",
    ];
    for (line, word) in lines.iter().zip(words) {
        assert!(line.contains(word), "{output}");
    }
    run(&[
        "compact",
        "--at",
        &at,
        "--revision",
        &revisions[1].to_string(),
    ])
    .await
    .expect("dropped");
    let output = run(&["history", "--at", &at, key, "--diff", "--output", "json"]).await;
    let output = output.expect("printed");
    let first: serde_json::Value =
        serde_json::from_str(output.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["revision"], revisions[2].to_string());
    assert_eq!(first["changes"][0]["old"], 2, "{output}");
    assert_eq!(first["actor"], "somebody");
    assert_eq!(output.lines().count(), 2);
    run(&["compact", "--at", &at, "--all"])
        .await
        .expect("dropped");
    let output = run(&["history", "--at", &at, key]).await.expect("printed");
    assert!(output.contains("does not exist"), "{output}");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_shows_manager_verb_and_subresource() {
    let origin = |manager: &str, verb: &str, subresource: &str| Origin {
        manager: manager.to_owned(),
        verb: verb.to_owned(),
        subresource: subresource.to_owned(),
    };
    // The first change is as stored by a release before minor version 3.
    let steps = [
        (None, "created  somebody"),
        (
            Some(origin("kubectl-edit", "patch", "")),
            "updated  somebody  kubectl-edit  patch",
        ),
        (
            Some(origin("ark", "update", "status")),
            "updated  somebody  ark  update/status",
        ),
        (
            Some(origin("a\u{1b}[2Jb", "", "")),
            "updated  somebody  a\u{fffd}[2Jb  -",
        ),
    ];
    let key = "queries.ark.mckinsey.com/ns/a";
    for kind in [Kind::Model, Kind::Sqlite] {
        let store = Store::start(kind).await;
        let at = store.address();
        for (place, (origin, _)) in steps.iter().enumerate() {
            let action = match place {
                0 => Action::Create,
                _ => Action::Update,
            };
            let mut change = op(action, "ns/a", place.to_string());
            change.origin.clone_from(origin);
            let written = write(&mut store.client(), vec![change]).await;
            written.expect("written");
        }
        let shown = run(&["history", "--at", &at, key]).await.expect("read");
        assert_eq!(shown.lines().count(), steps.len(), "{shown}");
        for (line, (_, expected)) in shown.lines().zip(&steps) {
            assert!(line.ends_with(expected), "{kind:?}: {line}");
        }
        let shown = run(&["history", "--at", &at, key, "--output", "json"]).await;
        let shown = shown.expect("read");
        let documents: Vec<serde_json::Value> = shown
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert!(documents[0].get("manager").is_none(), "{shown}");
        let parts = ["actor", "manager", "verb", "subresource"];
        assert_eq!(
            parts.map(|part| documents[2][part].as_str().unwrap_or("none")),
            ["somebody", "ark", "update", "status"]
        );
        store.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fence_is_set_and_lifted() {
    let store = Store::start(Kind::Sqlite).await;
    let at = store.address();
    let create = |path: &str| vec![op(Action::Create, path, "{}")];
    run(&["fence", "--at", &at, "--reason", "gone to lunch"])
        .await
        .expect("fenced");
    let rejected = write(&mut store.client(), create("ns/a")).await;
    let rejected = rejected.expect_err("fenced");
    assert!(rejected.message().contains("gone to lunch"), "{rejected}");
    let missing = run(&["fence", "--at", &at]).await;
    missing.expect_err("a reason, or --lift");
    // Neither replaced nor lifted without its reason.
    let lunch = ["fence", "--at", &at, "--reason", "gone to lunch"];
    let move_ = ["fence", "--at", &at, "--reason", "moved to unix:///new"];
    run(&lunch).await.expect("the same again");
    for refused in [
        &move_[..],
        &["fence", "--at", &at, "--lift"],
        &["fence", "--at", &at, "--lift", "--reason", "gone"],
    ] {
        let refused = run(refused).await.expect_err("refused");
        assert!(refused.contains("gone to lunch"), "{refused}");
        assert_eq!(store.describe().await.fenced, "gone to lunch");
    }
    let replaced = [&move_[..], &["--force"]].concat();
    let replaced = run(&replaced).await.expect("replaced");
    assert!(
        replaced.contains("replaced the fence: gone to lunch"),
        "{replaced}"
    );
    let lifted = [&move_[..], &["--lift"]].concat();
    let lifted = run(&lifted).await.expect("lifted");
    assert!(
        lifted.contains("lifted the fence: moved to unix:///new"),
        "{lifted}"
    );
    let again = run(&["fence", "--at", &at, "--lift"])
        .await
        .expect("not fenced");
    assert!(again.contains("not fenced"), "{again}");
    write(&mut store.client(), create("ns/a"))
        .await
        .expect("written");
    run(&lunch).await.expect("fenced");
    let forced = run(&["fence", "--at", &at, "--lift", "--force"]).await;
    let forced = forced.expect("lifted");
    assert!(
        forced.contains("lifted the fence: gone to lunch"),
        "{forced}"
    );
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_describes_a_store() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let store = Store::start(kind).await;
        store.fill(40, 1000).await;
        let data = store.folder().join("data");
        std::fs::create_dir_all(data.join("run")).expect("made");
        let socket = store.folder().join("s");
        let link = data.join("run/backend.sock");
        std::os::unix::fs::symlink(socket, link).expect("linked");
        let (at, data) = (store.address(), data.display().to_string());
        run(&["fence", "--data-dir", &data, "--reason", "rest"])
            .await
            .expect("fenced");
        let shown = run(&["status", "--data-dir", &data]).await.expect("shown");
        let (described, head) = (store.describe().await, store.head().await);
        for part in [
            format!("driver    {} ", described.driver),
            format!("epoch     {}\n", head.epoch),
            format!("revision  {}\n", head.revision),
            format!("changes after revision {}, ", head.compact_revision),
            "fence     rest\n".to_owned(),
            "all: 40 records, 40000 bytes".to_owned(),
        ] {
            assert!(shown.contains(&part), "{part:?} in {shown}");
        }
        let document = |output: std::process::Output| -> serde_json::Value {
            assert!(output.status.success(), "{output:?}");
            serde_json::from_slice(&output.stdout).expect("JSON alone")
        };
        let json = program(&["status", "--at", &at, "-o", "json"])
            .output()
            .await;
        let json = document(json.expect("started"));
        assert_eq!(json["fence"], "rest");
        assert_eq!(json["revision"], head.revision.to_string());
        assert_eq!(json["content"]["objects"], 40);
        assert_eq!(json["content"]["bytes"], 40_000);
        let quick = program(&["status", "--at", &at, "--quick", "-o", "json"])
            .output()
            .await;
        let quick = document(quick.expect("started"));
        assert!(quick.get("content").is_none(), "{quick}");
        assert_eq!(quick["epoch"], head.epoch.to_string());
        store.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_cover_every_command() {
    let script = run(&["completions", "bash"]).await.expect("printed");
    for part in ["arkctl", "export-crds", "--data-dir", "--timeout"] {
        assert!(script.contains(part), "{part}");
    }
    let folder = tempfile::tempdir().expect("temporary directory");
    let directory = folder.path().join("man1").display().to_string();
    run(&["man", &directory]).await.expect("written");
    let page = std::fs::read_to_string(folder.path().join("man1/arkctl-fence.1"));
    assert!(page.expect("a page").contains("Lift the fence"));
    let version = run(&["--version"]).await.expect("printed");
    assert!(
        version.contains("(commit ") && version.contains("built 2"),
        "{version}"
    );
}
