//! The load of all fault tests, and the checks at its end.

use std::time::Duration;

use conformance::Report;
use conformance::crash::soak::{Size, Soak, SoakReport};
use postgres_testkit::Server;

use crate::sidecar_of::Sidecar;

/// Timeout until the load progresses after a fault has ended.
pub(crate) const RECOVERY: Duration = Duration::from_secs(15);

/// Load of most tests.
pub(crate) const SIZE: Size = Size {
    writers: 6,
    watchers: 4,
    from_every_revision: false,
};

/// Starts sidecars on one database.
pub(crate) async fn sidecars(dsns: &[String]) -> Vec<Sidecar> {
    let mut sidecars = Vec::new();
    for dsn in dsns {
        sidecars.push(Sidecar::start(&["--dsn", dsn]).await);
    }
    sidecars
}

/// Starts a server with one database; returns it with the DSN and sidecars.
pub(crate) async fn store(
    builder: postgres_testkit::Builder,
    count: usize,
) -> (Server, String, Vec<Sidecar>) {
    let server = builder.start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let sidecars = sidecars(&vec![dsn.clone(); count]).await;
    (server, dsn, sidecars)
}

pub(crate) async fn soak(sidecars: &[Sidecar], seed: u64, size: Size) -> Soak {
    let endpoints: Vec<_> = sidecars.iter().map(|one| one.endpoint.clone()).collect();
    let started = Soak::start(&endpoints, seed, size).await;
    started.expect("the store answers")
}

/// Ends the load, asserts all guarantees, and stops the sidecars.
#[expect(clippy::print_stdout, reason = "measurements are printed")]
pub(crate) async fn finish_soak(what: &str, soak: Soak, sidecars: Vec<Sidecar>) -> SoakReport {
    let soak_report = soak
        .finish()
        .await
        .unwrap_or_else(|why| panic!("{what}: {why}"));
    let report = Report {
        rows: soak_report.rows.clone(),
    };
    println!(
        "{what}: {} changes, the slowest {:?}, troubles {:?}",
        soak_report.acknowledged, soak_report.slowest, soak_report.errors
    );
    assert!(!report.failed(), "{what}: {report}");
    for sidecar in sidecars {
        sidecar.stop().await;
    }
    soak_report
}
