//! Measures writes of the driver alone: latency, throughput and CPU time.
//!
//! `cargo run --release -p backend-sqlite --example sqlite_writes -- [DIRECTORY]`

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::path::PathBuf;
use std::sync::Arc;

use backend_sqlite::{Options, SqliteDriver};
use sidecar::driver::Driver as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| scratch.path().to_path_buf(), PathBuf::from);
    let options = Options::new(folder.join("measure.db"));
    let driver = SqliteDriver::open(&options, Arc::new(|_| std::process::exit(3)))?;
    conformance::measure::writes(&driver, |line| println!("{line}")).await?;
    driver.close().await;
    Ok(())
}
