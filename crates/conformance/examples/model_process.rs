//! The model as a process, for tests of the suite: it stores nothing, but can append its commits to
//! a file, with or without a flush.

#[path = "../tests/kit/faulty_driver.rs"]
mod faulty_driver;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use conformance::ModelDriver;

use faulty_driver::{FaultyDriver, Journal};

#[derive(Parser)]
struct Arguments {
    /// File to which each commit is appended.
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Flush the file before a commit is acknowledged.
    #[arg(long)]
    flushed: bool,
    #[command(flatten)]
    kit: sidecar::Options,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut driver = FaultyDriver::new(ModelDriver::new());
    if let Some(path) = &arguments.journal {
        driver.journal = Some(Journal {
            file: File::options().create(true).append(true).open(path)?,
            flushed: arguments.flushed,
        });
    }
    sidecar::run(Arc::new(driver), &arguments.kit).await?;
    Ok(())
}
