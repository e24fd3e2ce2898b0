//! Counts the statements of clients by the server's log, and makes the calls that are counted.

use std::time::{Duration, Instant};

use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{Key, Op, WatchRequest, WatchResponse, WriteRequest};
use bytes::Bytes;
use conformance::Endpoint;
use postgres_testkit::{Server, Session};
use tokio::time::timeout;
use tonic::Streaming;

/// Timeout of any response.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A position in the log of a server.
pub(crate) struct Mark(usize);

impl Mark {
    pub(crate) fn now(server: &Server) -> Self {
        Self(text(server).len())
    }

    /// Returns the log since the position.
    pub(crate) fn since(&self, server: &Server) -> String {
        text(server).get(self.0..).unwrap_or_default().to_owned()
    }

    /// Returns the drivers' statements since the position; needs `log_statement = all`.
    pub(crate) fn statements(&self, server: &Server) -> Vec<String> {
        let output = self.since(server);
        let lines = output.lines().filter(|line| line.contains("@ark LOG:"));
        let sent = lines.filter_map(|line| {
            let (_, sent) = line.split_once("LOG:  ")?;
            let sent = sent.strip_prefix("statement: ").or_else(|| {
                let (_, text) = sent.strip_prefix("execute ")?.split_once(": ")?;
                Some(text)
            });
            sent.map(str::to_owned)
        });
        sent.filter(|sent| !sent.contains(OURS)).collect()
    }
}

/// SQL comment that marks the test's own statements.
pub(crate) const OURS: &str = "/* test */";

fn text(server: &Server) -> String {
    let bytes = std::fs::read(server.log()).expect("a log");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a query of the test itself and returns its result.
pub(crate) async fn ask(session: &Session, question: &str) -> String {
    let reply = session.text(&format!("{OURS} {question}")).await;
    reply.expect("asked").unwrap_or_default()
}

pub(crate) fn key(name: &str) -> Key {
    Key {
        group: "ark.mckinsey.com".to_owned(),
        resource: "queries".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

pub(crate) fn op(action: Action, name: &str, value: &str) -> Op {
    Op {
        op_id: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
        action: action.into(),
        key: Some(key(name)),
        value: Bytes::from(value.to_owned()),
        ..Op::default()
    }
}

/// Writes one operation; returns its revision.
pub(crate) async fn write(endpoint: &Endpoint, op: Op) -> i64 {
    let mut client = endpoint.client();
    let reply = timeout(DEADLINE, client.write(WriteRequest { ops: vec![op] })).await;
    let response = reply.expect("in time").expect("an answer").into_inner();
    let result = response.results.into_iter().next();
    match result.and_then(|result| result.verdict) {
        Some(Verdict::Applied(applied)) => applied.revision,
        other => panic!("not applied: {other:?}"),
    }
}

/// Opens a watch with rare progress messages, and reads its first message.
pub(crate) async fn watch(endpoint: &Endpoint, start: i64) -> Streaming<WatchResponse> {
    let request = WatchRequest {
        start_revision: start,
        progress_interval_ms: 10_000,
        ..WatchRequest::default()
    };
    let mut client = endpoint.client();
    let opened = timeout(DEADLINE, client.watch(request)).await;
    let mut stream = opened.expect("in time").expect("watch").into_inner();
    up_to_revision(&mut stream).await;
    stream
}

/// Returns the progress of the next message.
pub(crate) async fn up_to_revision(stream: &mut Streaming<WatchResponse>) -> i64 {
    let message = timeout(DEADLINE, stream.message()).await.expect("in time");
    message.expect("watch").expect("open").through_revision
}

/// Reads a watch until it has reached a revision.
pub(crate) async fn reach(stream: &mut Streaming<WatchResponse>, revision: i64) {
    let started = Instant::now();
    while up_to_revision(stream).await < revision {
        assert!(started.elapsed() < DEADLINE, "an event is missing");
    }
}

/// Starts a server that logs every statement; returns it with the DSN of a database.
pub(crate) async fn talkative(builder: postgres_testkit::Builder) -> (Server, String) {
    let builder = builder.setting("log_statement", "all");
    let server = builder.start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    (server, dsn)
}
