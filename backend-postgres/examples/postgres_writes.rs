//! Measures writes of the driver alone: latency, throughput and CPU time.
//!
//! `cargo run --release -p backend-postgres --example postgres_writes -- DSN` on an empty database.

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use backend_postgres::{Options, PostgresDriver};
use sidecar::driver::Driver as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let dsn = std::env::args().nth(1);
    let dsn = dsn.ok_or_else(|| anyhow::anyhow!("give the DSN of an empty database"))?;
    let driver = PostgresDriver::open(Options::from_dsn(&dsn)?).await?;
    conformance::measure::writes(&driver, |line| println!("{line}")).await?;
    driver.close().await;
    Ok(())
}
