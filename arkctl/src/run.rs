//! Dispatches the command line.

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use command_line::Documents;
use futures_util::FutureExt as _;

use crate::args::{Arguments, Command};
use crate::{backup, compact, copy, crds, fence, history, moves, status, verify};

/// Runs the command of the command line.
///
/// # Errors
/// A message for operators.
pub async fn run(arguments: Arguments) -> Result<()> {
    let deadlines = arguments.deadlines();
    // Boxed, because the futures are large and only one of them runs.
    match arguments.command {
        Command::Backup(arguments) => backup::backup(&arguments, deadlines).boxed().await,
        Command::Restore(arguments) => backup::restore(&arguments, deadlines).boxed().await,
        Command::Copy(arguments) => copy::run(&arguments, deadlines).boxed().await,
        Command::Status(arguments) => status::run(&arguments, deadlines).boxed().await,
        Command::Verify(arguments) => verify::run(&arguments, deadlines).boxed().await,
        Command::Compact(arguments) => compact::run(&arguments, deadlines).boxed().await,
        Command::History(arguments) => history::run(&arguments, deadlines).boxed().await,
        Command::Fence(arguments) => fence::run(&arguments, deadlines).boxed().await,
        Command::ImportCrds(arguments) => crds::import(&arguments, deadlines).boxed_local().await,
        Command::ExportCrds(arguments) => crds::export(&arguments, deadlines).boxed().await,
        Command::Adopt(arguments) => moves::adopt(&arguments, deadlines).boxed_local().await,
        Command::Return(arguments) => moves::give_back(&arguments, deadlines).boxed_local().await,
        Command::Documents(documents) => write(&documents),
    }
}

fn write(documents: &Documents) -> Result<()> {
    let written = documents.write(Arguments::command(), &mut std::io::stdout());
    written.context("cannot write")
}
