//! Runs the conformance suite against this driver behind the kit: directly, through each kind of
//! pooler, as a role that owns nothing, and with kills under load.

#[path = "support/sidecar.rs"]
mod sidecar_of;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use backend_postgres::{Options, migrate};
use conformance::crash::{self, Plan};
use conformance::empty::{EmptyStore, EmptyStores};
use conformance::process::Process;
use conformance::{Endpoint, Report, RunOptions, cases, suite};
use postgres_testkit::{PoolMode, Pooler, Server};

use sidecar_of::Sidecar;

const SEED: u64 = 11;

/// Number of kills under load; the suite's own command makes more.
const KILLS: usize = 25;

/// A kind of connection to a server: builds the flags of a database.
type Way = Box<dyn Fn(&Server, &str) -> Vec<String> + Send + Sync>;

/// Creates databases and serves them over one kind of connection.
struct Stores {
    server: Server,
    way: Way,
    made: AtomicU32,
}

impl Stores {
    fn new(
        server: Server,
        way: impl Fn(&Server, &str) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            server,
            way: Box::new(way),
            made: AtomicU32::new(0),
        }
    }

    async fn serve_one(&self) -> Sidecar {
        let name = format!("store{}", self.made.fetch_add(1, Ordering::Relaxed));
        let owner = self
            .server
            .create_database(&name)
            .await
            .expect("a database");
        // Migrate as the owner and grant the privileges, because the role that serves owns nothing.
        let owner = Options::from_dsn(&owner).expect("a DSN");
        let grant = self.server.user_dsn(ROLE, &name).is_ok().then_some(ROLE);
        migrate::run(&owner, None, grant).await.expect("migrated");
        let flags = (self.way)(&self.server, &name);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Sidecar::start(&flags).await
    }
}

fn flags(flags: &[&str]) -> Vec<String> {
    flags.iter().map(ToString::to_string).collect()
}

/// A role that owns nothing.
const ROLE: &str = "runtime";

#[async_trait]
impl EmptyStores for Stores {
    async fn serve(&self) -> Result<EmptyStore, String> {
        let served = self.serve_one().await;
        Ok(EmptyStore::new(served.endpoint.clone(), served))
    }
}

async fn server() -> Server {
    // Poolers keep connections open for the store of every case.
    let builder = Server::builder().setting("max_connections", "400");
    builder.start().await.expect("a server")
}

/// Asserts that every case passes and none is skipped.
async fn check(stores: Stores) {
    let stores = Arc::new(stores);
    let served = stores.serve_one().await;
    let run_options = RunOptions {
        seed: SEED,
        long: false,
    };
    let (cases, empty) = (cases::all(), Some(stores.clone() as _));
    let rows = suite::run_with(&served.endpoint, empty, &cases, run_options, |_| ()).await;
    let rows = rows.expect("the driver answers");
    let report = Report { rows };
    assert!(!report.failed(), "{report}");
    let summary = report.summary();
    assert!(summary.ends_with("0 failed, 0 skipped"), "{summary}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conformance_case_passes() {
    let way = |server: &Server, name: &str| flags(&["--dsn", &server.dsn(name)]);
    check(Stores::new(server().await, way)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conformance_case_passes_as_unprivileged_role() {
    let builder = Server::builder().user(ROLE, "hush");
    let server = builder.start().await.expect("a server");
    let way = |server: &Server, name: &str| {
        flags(&["--dsn", &server.user_dsn(ROLE, name).expect("the role")])
    };
    check(Stores::new(server, way)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conformance_case_passes_through_session_pooler() {
    let server = server().await;
    let pooler = Pooler::start(&server, PoolMode::Session).await;
    let pooler = pooler.unwrap_or_else(|error| panic!("{error}"));
    let way =
        move |_: &Server, name: &str| flags(&["--dsn", &pooler.dsn(name), "--pooler", "session"]);
    check(Stores::new(server, way)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conformance_case_passes_through_transaction_pooler() {
    let server = server().await;
    let pooler = Pooler::start(&server, PoolMode::Transaction).await;
    let pooler = pooler.unwrap_or_else(|error| panic!("{error}"));
    let way = move |server: &Server, name: &str| {
        let (dsn, direct) = (pooler.dsn(name), server.dsn(name));
        flags(&[
            "--dsn",
            &dsn,
            "--pooler",
            "transaction",
            "--notify-dsn",
            &direct,
        ])
    };
    check(Stores::new(server, way)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conformance_case_passes_without_notifications() {
    let server = server().await;
    let pooler = Pooler::start(&server, PoolMode::Transaction).await;
    let pooler = pooler.unwrap_or_else(|error| panic!("{error}"));
    let way = move |_: &Server, name: &str| {
        let dsn = pooler.dsn(name);
        flags(&[
            "--dsn",
            &dsn,
            "--pooler",
            "transaction",
            "--notify-dsn",
            "none",
        ])
    };
    check(Stores::new(server, way)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_driver_keeps_acknowledged_changes() {
    let server = server().await;
    let dsn = server.create_database("store").await.expect("a database");
    let folder = tempfile::tempdir().expect("temporary directory");
    let socket = folder.path().join("s");
    let endpoint = Endpoint::unix(&socket);
    let program = env!("CARGO_BIN_EXE_backend-postgres");
    let command = format!("{program} --listen unix://{}", socket.display());
    let process = Process::new(&command, &endpoint).expect("a process");
    let mut process = process.with("ARK_BACKEND_POSTGRES_DSN", dsn);
    let plan = Plan {
        kills: KILLS,
        seed: SEED,
    };
    let rows = crash::run(&mut process, &endpoint, plan, |_| ()).await;
    let report = Report { rows };
    assert!(!report.failed(), "{report}");
    process.stop().await.expect("an orderly end");
}
