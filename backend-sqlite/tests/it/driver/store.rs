//! A store in a temporary directory, with helpers for tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::conflict::Cause;
use backend_proto::v1::op_result::{Applied, Verdict};
use backend_proto::v1::{BackendError, Event, Header, Index, Key, Op, OpResult, Range, Record};
use backend_sqlite::{Options, SqliteDriver};
use bytes::Bytes;
use sidecar::driver::{Committed, Driver as _, ListPart, ListQuery};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Revision at which a new store begins under [`clock`].
pub(crate) const BASE: i64 = 1;

/// A clock before 2026: epochs begin just above the newest revision in the store.
pub(crate) fn clock() -> SystemTime {
    UNIX_EPOCH
}

/// An open store.
pub(crate) struct Store {
    pub(crate) driver: Arc<SqliteDriver>,
    pub(crate) folder: TempDir,
}

/// A complete list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) header: Header,
    pub(crate) records: Vec<Record>,
    pub(crate) more: bool,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("temporary directory");
        let mut options = Options::new(folder.path().join("ark.db"));
        options.ballast_bytes = 0;
        options.low_space_bytes = 0;
        options.clock = clock;
        change(&mut options);
        let driver = open(&options).expect("new store");
        Self { driver, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ark.db")
    }

    pub(crate) async fn reopen(&mut self) {
        self.driver.close().await;
        self.open_again();
    }

    /// Reopens the store after it was closed.
    pub(crate) fn open_again(&mut self) {
        let mut options = Options::new(self.path());
        options.ballast_bytes = 0;
        self.driver = open(&options).expect("existing store");
    }

    pub(crate) async fn commit(&self, ops: Vec<Op>) -> Committed {
        self.driver.commit(ops).await.expect("commit")
    }

    /// Applies one operation that must succeed; returns its revision.
    pub(crate) async fn apply(&self, op: Op) -> i64 {
        applied(&self.commit(vec![op]).await.results[0]).revision
    }

    pub(crate) async fn list(&self, query: ListQuery) -> Result<Listed, BackendError> {
        list(&self.driver, query).await
    }

    pub(crate) async fn names(&self, query: ListQuery) -> Vec<String> {
        let listed = self.list(query).await.expect("list");
        listed.records.iter().map(path).collect()
    }

    pub(crate) async fn log(&self, after: i64) -> Vec<Event> {
        let page = self.driver.read_log(after, usize::MAX).await.expect("log");
        page.events
    }
}

pub(crate) fn open(options: &Options) -> Result<Arc<SqliteDriver>, backend_sqlite::Error> {
    SqliteDriver::open(options, Arc::new(|line| panic!("fatal: {line}"))).map(Arc::new)
}

pub(crate) async fn list(driver: &SqliteDriver, query: ListQuery) -> Result<Listed, BackendError> {
    let (sink, mut parts) = mpsc::channel(1);
    let collect = async {
        let mut listed = Listed {
            header: Header::default(),
            records: Vec::new(),
            more: false,
        };
        let mut ended = false;
        while let Some(part) = parts.recv().await {
            assert!(!ended, "nothing follows the end");
            match part {
                ListPart::Header(header) => listed.header = header,
                ListPart::Records(records) => listed.records.extend(records),
                ListPart::End { more } => (listed.more, ended) = (more, true),
            }
        }
        (listed, ended)
    };
    let (result, (listed, ended)) = tokio::join!(driver.list(query, sink), collect);
    result?;
    assert!(ended, "a list ends with its end");
    Ok(listed)
}

pub(crate) fn key(path: &str) -> Key {
    let (namespace, name) = path.split_once('/').unwrap_or(("", path));
    Key {
        group: "ark.mckinsey.com".to_owned(),
        resource: "queries".to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

pub(crate) fn path(record: &Record) -> String {
    let key = record.key.as_ref().expect("key");
    if key.namespace.is_empty() {
        key.name.clone()
    } else {
        format!("{}/{}", key.namespace, key.name)
    }
}

pub(crate) fn create(at: &str, value: &str) -> Op {
    op(Action::Create, at, value)
}

pub(crate) fn update(at: &str, value: &str) -> Op {
    op(Action::Update, at, value)
}

pub(crate) fn delete(at: &str) -> Op {
    Op {
        value: Bytes::new(),
        index: None,
        ..op(Action::Delete, at, "")
    }
}

fn op(action: Action, at: &str, value: &str) -> Op {
    Op {
        action: action.into(),
        key: Some(key(at)),
        value: Bytes::copy_from_slice(value.as_bytes()),
        index: Some(Index {
            uid: format!("uid of {at}"),
            ..Index::default()
        }),
        ..Op::default()
    }
}

pub(crate) fn all() -> ListQuery {
    ListQuery {
        range: Range {
            group: "ark.mckinsey.com".to_owned(),
            resource: "queries".to_owned(),
            namespace: None,
            name: None,
        },
        after: None,
        limit: 0,
        revision: 0,
    }
}

pub(crate) fn at(revision: i64) -> ListQuery {
    ListQuery { revision, ..all() }
}

pub(crate) fn applied(result: &OpResult) -> &Applied {
    match &result.verdict {
        Some(Verdict::Applied(applied)) => applied,
        other => panic!("not applied: {other:?}"),
    }
}

/// Returns the cause of a conflict and the value of its record.
pub(crate) fn conflict(result: &OpResult) -> (Cause, Option<Bytes>) {
    match &result.verdict {
        Some(Verdict::Conflict(conflict)) => {
            let current = conflict.current.as_ref();
            (conflict.cause(), current.map(|record| record.value.clone()))
        }
        other => panic!("no conflict: {other:?}"),
    }
}

pub(crate) fn refused(result: &OpResult) -> &BackendError {
    match &result.verdict {
        Some(Verdict::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}
