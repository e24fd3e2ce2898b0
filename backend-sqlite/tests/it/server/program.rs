//! Starts, kills and calls the driver process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use backend_proto::v1::backend_client::BackendClient;
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{
    CurrentRevisionRequest, Header, Key, ListRequest, Op, Range, Record, WatchRequest,
    WatchResponse, WriteRequest, list_response,
};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use rustix::process::Pid;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

pub(crate) type Client = BackendClient<Channel>;

/// A database and, between start and stop, its process.
pub(crate) struct Program {
    pub(crate) folder: TempDir,
    child: Option<Child>,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("temporary directory"),
            child: None,
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("ark.db")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// Starts the process and waits until it responds.
    pub(crate) async fn start(&mut self) -> Client {
        let command = command(&self.database(), &self.socket());
        self.start_as(command).await
    }

    /// As [`Self::start`], with a given command.
    pub(crate) async fn start_as(&mut self, mut command: Command) -> Client {
        let log = self.folder.path().join("stderr");
        let stderr = std::fs::File::create(&log).expect("a log");
        let child = command.stderr(Stdio::from(stderr)).spawn();
        let child = child.expect("the program starts");
        self.child = Some(child);
        let client = client(&self.socket());
        let deadline = Instant::now() + Duration::from_secs(10);
        while client
            .clone()
            .current_revision(CurrentRevisionRequest {})
            .await
            .is_err()
        {
            if Instant::now() >= deadline {
                let log = std::fs::read_to_string(&log).expect("a log");
                panic!("the program never answers: {log}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client
    }

    pub(crate) fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("started");
        let pid = child.id().cast_signed();
        Pid::from_raw(pid).expect("a process")
    }

    /// Waits until the process ends.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("started");
        child.wait().expect("wait")
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("started");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn command(database: &Path, socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backend-sqlite"));
    command.arg("--path").arg(database);
    command
        .arg("--listen")
        .arg(format!("unix://{}", socket.display()));
    command
}

pub(crate) fn client(socket: &Path) -> Client {
    let socket = socket.to_path_buf();
    let connect = move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    };
    let endpoint = Endpoint::from_static("http://localhost");
    BackendClient::new(endpoint.connect_with_connector_lazy(tower::service_fn(connect)))
        .max_decoding_message_size(64 << 20)
}

pub(crate) fn op(action: Action, name: &str, value: impl Into<Bytes>) -> Op {
    Op {
        op_id: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
        action: action.into(),
        key: Some(Key {
            group: "ark.mckinsey.com".to_owned(),
            resource: "queries".to_owned(),
            namespace: "default".to_owned(),
            name: name.to_owned(),
        }),
        value: value.into(),
        ..Op::default()
    }
}

/// Writes one operation; returns revision and header, or the error of the call.
pub(crate) async fn write(client: &Client, op: Op) -> Result<(i64, Header), Status> {
    let request = WriteRequest { ops: vec![op] };
    let response = client.clone().write(request).await?.into_inner();
    match &response.results[0].verdict {
        Some(Verdict::Applied(applied)) => Ok((applied.revision, response.header.expect("header"))),
        other => panic!("not applied: {other:?}"),
    }
}

pub(crate) async fn create(client: &Client, name: &str) -> i64 {
    let op = op(Action::Create, name, name.to_owned());
    write(client, op).await.expect("written").0
}

pub(crate) async fn watch(client: &Client, start: i64) -> Result<Streaming<WatchResponse>, Status> {
    let request = WatchRequest {
        start_revision: start,
        progress_interval_ms: 50,
        ..WatchRequest::default()
    };
    Ok(client.clone().watch(request).await?.into_inner())
}

pub(crate) async fn list(client: &Client) -> (Header, Vec<Record>) {
    let request = ListRequest {
        range: Some(Range {
            group: "ark.mckinsey.com".to_owned(),
            resource: "queries".to_owned(),
            ..Range::default()
        }),
        ..ListRequest::default()
    };
    let mut stream = client
        .clone()
        .list(request)
        .await
        .expect("list")
        .into_inner();
    let (mut header, mut records, mut complete) = (None, Vec::new(), false);
    while let Some(message) = stream.message().await.expect("list") {
        match message.part.expect("part") {
            list_response::Part::Header(first) => header = Some(first),
            list_response::Part::Chunk(chunk) => records.extend(chunk.records),
            list_response::Part::Trailer(trailer) => {
                assert_eq!(trailer.count, records.len() as i64);
                complete = true;
            }
        }
    }
    assert!(complete, "a list without its trailer");
    (header.expect("header"), records)
}
