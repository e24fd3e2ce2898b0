//! Dispatches the command line.

use anyhow::Result;
use futures_util::FutureExt as _;

use crate::args::{Arguments, Command};
use crate::{backup, compact, copy, crds, fence, history, verify};

/// Runs the command of the command line.
///
/// # Errors
/// A message for operators.
pub async fn run(arguments: Arguments) -> Result<()> {
    // Boxed, because the futures are large and only one of them runs.
    match arguments.command {
        Command::Backup(arguments) => backup::backup(&arguments).boxed().await,
        Command::Restore(arguments) => backup::restore(&arguments).boxed().await,
        Command::Copy(arguments) => copy::run(&arguments).boxed().await,
        Command::Verify(arguments) => verify::run(&arguments).boxed().await,
        Command::Compact(arguments) => compact::run(&arguments).boxed().await,
        Command::History(arguments) => history::run(&arguments).boxed().await,
        Command::Fence(arguments) => fence::run(&arguments).boxed().await,
        Command::ImportCrds(arguments) => crds::import(&arguments).boxed().await,
        Command::ExportCrds(arguments) => crds::export(&arguments).boxed().await,
    }
}
