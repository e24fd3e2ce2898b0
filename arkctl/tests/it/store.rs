//! Drivers behind the kit, each on its own socket, and the arkctl process.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use backend_proto::v1::backend_client::BackendClient;
use backend_proto::v1::export_response::Part;
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{
    CurrentRevisionRequest, DescribeRequest, DescribeResponse, ExportRequest, Header, Index, Key,
    Op, Record, WriteRequest,
};
use backend_sqlite::SqliteDriver;
use conformance::{ModelDriver, Served};
use sidecar::Driver;
use tempfile::TempDir;
use tokio::process::Command;
use tonic::Status;
use tonic::transport::Channel;

pub(crate) type Client = BackendClient<Channel>;

/// A served store.
pub(crate) struct Store {
    served: Served,
    folder: TempDir,
}

/// Drivers under test.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Model,
    Sqlite,
}

impl Store {
    pub(crate) async fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("temporary directory");
        let driver = driver(kind, folder.path());
        Self::serve(folder, driver).await
    }

    pub(crate) async fn serve(folder: TempDir, driver: Arc<dyn Driver>) -> Self {
        let served = Served::at(&folder.path().join("s"), driver).await;
        Self {
            served: served.expect("a socket"),
            folder,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub(crate) fn client(&self) -> Client {
        self.served.endpoint().client()
    }

    pub(crate) async fn describe(&self) -> DescribeResponse {
        let described = self.client().describe(DescribeRequest::default()).await;
        described.expect("described").into_inner()
    }

    pub(crate) async fn head(&self) -> Header {
        let reply = self
            .client()
            .current_revision(CurrentRevisionRequest {})
            .await;
        reply.expect("current").into_inner().header.expect("header")
    }

    /// Returns all records at a revision; 0 is the current one.
    pub(crate) async fn records(&self, revision: i64) -> Vec<Record> {
        let request = ExportRequest {
            revision,
            ..ExportRequest::default()
        };
        let export = self.client().export(request).await.expect("export");
        let (mut export, mut records) = (export.into_inner(), Vec::new());
        while let Some(message) = export.message().await.expect("export") {
            if let Some(Part::Chunk(chunk)) = message.part {
                records.extend(chunk.records);
            }
        }
        records
    }

    /// Writes `count` records with values of `size` bytes.
    pub(crate) async fn fill(&self, count: usize, size: usize) {
        let mut client = self.client();
        let ops: Vec<Op> = (0..count)
            .map(|at| op(Action::Create, &format!("ns/q{at:06}"), text(at, size)))
            .collect();
        for ops in ops.chunks(200) {
            write(&mut client, ops.to_vec()).await.expect("written");
        }
    }

    pub(crate) async fn stop(self) {
        self.served.stop().await.expect("served");
    }
}

pub(crate) fn driver(kind: Kind, folder: &Path) -> Arc<dyn Driver> {
    match kind {
        Kind::Model => Arc::new(ModelDriver::new()),
        Kind::Sqlite => {
            let options = backend_sqlite::Options::new(folder.join("ark.db"));
            let fatal = Arc::new(|line: &str| panic!("{line}"));
            Arc::new(SqliteDriver::open(&options, fatal).expect("opened"))
        }
    }
}

fn text(at: usize, size: usize) -> String {
    let head = format!(r#"{{"metadata":{{"name":"q{at}"}},"spec":{{"text":""#);
    let fill = size.saturating_sub(head.len() + 3);
    let body: String = (0..fill)
        .map(|place| char::from(b'a' + ((place * 7 + at) % 26) as u8))
        .collect();
    format!(r#"{head}{body}"}}}}"#)
}

pub(crate) fn key(path: &str) -> Key {
    let (namespace, name) = path.split_once('/').expect("namespace/name");
    Key {
        group: "ark.mckinsey.com".to_owned(),
        resource: "queries".to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

pub(crate) fn op(action: Action, path: &str, value: impl Into<bytes::Bytes>) -> Op {
    let index = Index {
        uid: format!("uid of {path}"),
        labels: [("app".to_owned(), path.to_owned())].into(),
        ..Index::default()
    };
    Op {
        key: Some(key(path)),
        action: action.into(),
        value: value.into(),
        index: Some(index),
        actor: "somebody".to_owned(),
        ..Op::default()
    }
}

/// Writes operations that must all be applied; returns the newest revision.
pub(crate) async fn write(client: &mut Client, ops: Vec<Op>) -> Result<i64, Status> {
    let response = client.write(WriteRequest { ops }).await?.into_inner();
    let mut newest = 0;
    for result in response.results {
        match result.verdict {
            Some(Verdict::Applied(applied)) => newest = newest.max(applied.revision),
            other => panic!("not applied: {other:?}"),
        }
    }
    Ok(newest)
}

/// Returns the command with arguments.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arkctl"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs the command; returns its output as success or failure.
pub(crate) async fn run(arguments: &[&str]) -> Result<String, String> {
    let Output {
        status,
        stdout,
        stderr,
    } = program(arguments).output().await.expect("started");
    let decode = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if status.success() {
        Ok(decode(&stdout))
    } else {
        Err(format!("{}{}", decode(&stdout), decode(&stderr)))
    }
}
