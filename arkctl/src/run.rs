//! From the command line to the command.

use anyhow::Result;
use futures_util::FutureExt as _;

use crate::args::{Arguments, Command};
use crate::{backup, compact, copy, crds, fence, history, verify};

/// Does what the command line asks for.
///
/// # Errors
/// One sentence for an operator.
pub async fn run(arguments: Arguments) -> Result<()> {
    // Boxed: each command's state is large, and one of them runs.
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
