//! Storage trouble is told as what it is: never a missing object, never a conflict, never a success.

use backend_proto::error::{BackendError, Outcome, Reason};
use futures_util::future::join_all;

use super::world::{Answer, World, thing};
use crate::fake::faults::trouble;

const UNKNOWN: &str = "the outcome of the write is unknown";

const READS: [&str; 5] = [
    "GET things/x",
    "GET things/x/scale",
    "GET things",
    "GET things?watch=1",
    "GET things?limit=1",
];

/// Requests that write, and their bodies.
fn writes() -> Vec<(&'static str, String)> {
    let x = thing("x", 2);
    let created = thing("y", 1);
    let generated = created.replace(r#""name":"y""#, r#""generateName":"y-""#);
    let patch = r#"{"spec":{"size":2}}"#;
    let scale = r#"{"spec":{"replicas":2}}"#;
    let owned = |(line, body): (&'static str, &str)| (line, body.to_owned());
    [
        ("POST things", &*created),
        ("POST things", &generated),
        ("PUT things/x", &x),
        ("MERGE things/x", patch),
        (
            "JSON things/x",
            r#"[{"op":"add","path":"/spec/size","value":2}]"#,
        ),
        ("PUT things/x/status", &x),
        ("MERGE things/x/status", r#"{"status":{"a":1}}"#),
        ("MERGE things/x/scale", scale),
        ("DELETE things/x", ""),
        ("DELETE things", ""),
    ]
    .map(owned)
    .into()
}

/// All reads and writes at once; each with what it was.
async fn ask_all(world: &World, query: &str) -> Vec<(String, Answer)> {
    let version = world.fake.revision().to_string();
    let reads = READS.map(|line| (line, String::new()));
    let requests = reads.into_iter().chain(writes());
    join_all(requests.map(|(line, body)| {
        // An update names the version that is there.
        let named = format!(r#""name":"x","resourceVersion":"{version}""#);
        let body = if line.starts_with("PUT") {
            body.replace(r#""name":"x""#, &named)
        } else {
            body
        };
        let line = match (query, line.contains('?')) {
            ("", _) => line.to_owned(),
            (query, true) => format!("{line}&{query}"),
            (query, false) => format!("{line}?{query}"),
        };
        async move {
            let answer = world.ask(&line, body).await;
            (line, answer)
        }
    }))
    .await
}

fn reads(line: &str) -> bool {
    line.starts_with("GET")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_has_its_own_answer() {
    let world = World::of_x().await;
    let before = world.x().await;
    let cases = [
        (Reason::Overloaded, 429, 429),
        (Reason::NotReady, 503, 503),
        (Reason::EpochChanged, 503, 503),
        (Reason::Deadline, 504, 503),
        (Reason::TooLarge, 413, 413),
        (Reason::NoSpace, 507, 507),
        (Reason::Corrupt, 500, 500),
        (Reason::Internal, 500, 500),
    ];
    for (reason, read, write) in cases {
        let changes = world.fake.changes();
        world
            .fake
            .fault(|faults| faults.calls = Some(trouble(reason)));
        for (line, answer) in ask_all(&world, "").await {
            let expected = match line.as_str() {
                // Its beginning is a list.
                "DELETE things" => read,
                line if reads(line) => read,
                _ => write,
            };
            let status = answer.expect(expected);
            assert_eq!(status["kind"], "Status", "{reason:?} {line}");
            assert_eq!(status["status"], "Failure", "{reason:?} {line}");
            let retried = matches!(answer.code, 429 | 503 | 504 | 507);
            assert_eq!(answer.retry_after().is_some(), retried, "{reason:?} {line}");
        }
        world.fake.fault(|faults| faults.calls = None);
        assert_eq!(world.fake.changes(), changes, "{reason:?}");
    }
    assert_eq!(world.x().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_operation_is_no_other_ones_trouble() {
    let world = World::of_x().await;
    for (reason, code) in [(Reason::NoSpace, 507), (Reason::TooLarge, 413)] {
        let refuse = |name: &str| (name.to_owned(), trouble(reason));
        world
            .fake
            .fault(|faults| faults.refused = [refuse("x"), refuse("y")].into());
        let patch = r#"{"spec":{"size":2}}"#;
        let (refused, created, other) = tokio::join!(
            world.ask("MERGE things/x", patch),
            world.ask("POST things", thing("y", 1)),
            world.ask("POST things", thing("z", 1)),
        );
        refused.expect(code);
        created.expect(code);
        other.expect(201);
        world.ask("DELETE things/z", "").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_gone_is_unavailable() {
    let mut world = World::of_x().await;
    let before = world.x().await;
    world.fake.kill();
    for (line, answer) in ask_all(&world, "").await {
        if answer.code == 504 {
            // It was on its way when the connection broke.
            assert!(!reads(&line), "{line}");
            assert!(answer.text().contains(UNKNOWN), "{line}: {}", answer.text());
            continue;
        }
        let status = answer.expect(503);
        assert_eq!(status["reason"], "ServiceUnavailable", "{line}");
        assert!(answer.retry_after().is_some(), "{line}");
    }
    // What may be stale is served to those who take it, and nothing else is.
    let cached = world.ask("GET things/x?resourceVersion=0", "").await;
    assert_eq!(cached.expect(200), before);
    let patch = world.start("MERGE things/x", r#"{"spec":{"size":5}}"#);
    world.fake.start();
    assert_eq!(patch.answer().await.expect(200)["spec"]["size"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_little_time_is_told_in_time() {
    let world = World::of_x().await;
    world.fake.fault(|faults| faults.silent = true);
    let began = std::time::Instant::now();
    for (line, answer) in ask_all(&world, "timeout=500ms").await {
        let status = answer.expect(504);
        assert_eq!(status["reason"], "Timeout", "{line}");
    }
    // Without it, a write waits for its outcome for 15 s.
    assert!(began.elapsed().as_secs() < 12, "{:?}", began.elapsed());
    world
        .until("nothing is asked any more", |fake| {
            fake.disk.lock().open == 0
        })
        .await;
    let asked = |world: &World| {
        let disk = world.fake.disk.lock();
        (disk.ops, disk.asked)
    };
    let before = asked(&world);
    world.fake.fault(|faults| faults.silent = false);
    assert_eq!(world.x().await["spec"]["size"], 1, "nothing came later");
    assert_eq!(asked(&world), (before.0, before.1 + 1), "only that read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_outcome_nobody_knows_says_so() {
    let world = World::of_x().await;
    // The cache has it, so that nothing needs to be read.
    world.x().await;
    let version = world.fake.revision();
    let unknown = BackendError {
        outcome: Outcome::Unknown.into(),
        ..trouble(Reason::Internal)
    };
    world.fake.fault(|faults| faults.calls = Some(unknown));
    let update = thing("x", 2).replace(
        r#""name":"x""#,
        &format!(r#""name":"x","resourceVersion":"{version}""#),
    );
    let answers = tokio::join!(
        world.ask("POST things", thing("y", 1)),
        world.ask("PUT things/x", update),
        world.ask("MERGE things/x", r#"{"spec":{"size":2}}"#),
        world.ask("DELETE things/x", ""),
    );
    for answer in <[Answer; 4]>::from(answers) {
        let status = answer.expect(504);
        let message = status["message"].as_str().expect("a message");
        assert!(message.contains(UNKNOWN), "{message}");
        assert_eq!(answer.retry_after(), Some("1"));
    }
}
