//! Completions and manual pages, generated from the definition of a command line.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Command, Parser, Subcommand};
use clap_complete::Shell;

use crate::Usage;

/// Subcommands that print documents about the program. Flatten them into those of a program.
#[derive(Clone, Debug, Subcommand)]
pub enum Documents {
    /// Print a completion script: `PROGRAM completions bash > /etc/bash_completion.d/PROGRAM`.
    Completions {
        /// Shell that will read the script.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the manual pages of the program and its commands into a directory.
    Man {
        /// Directory of the pages, for instance /usr/local/share/man/man1; created if absent.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// The documents as the only commands.
#[derive(Debug, Parser)]
struct Alone {
    #[command(subcommand)]
    documents: Documents,
}

impl Documents {
    /// Parses the arguments of a program that parses its other commands apart; `None` if the first
    /// argument is no command of these.
    ///
    /// # Errors
    /// If it is, and its arguments are invalid.
    pub fn parse(arguments: &[OsString]) -> Result<Option<Self>, Usage> {
        match arguments.get(1).and_then(|first| first.to_str()) {
            Some("completions" | "man") => {
                let alone: Alone = crate::parse(arguments)?;
                Ok(Some(alone.documents))
            }
            _ => Ok(None),
        }
    }

    /// Prints the script to `out`, or writes the pages.
    ///
    /// # Errors
    /// If one of them cannot be written; the error names the file.
    pub fn write(&self, command: Command, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Completions { shell } => completions(command, *shell, out),
            Self::Man { directory } => pages(command, directory),
        }
    }
}

fn completions(mut command: Command, shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let name = command.get_name().to_owned();
    // Generated in memory, because `generate` panics if a write fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out.write_all(&script)?;
    out.flush()
}

/// Writes `PROGRAM.1` and a page `PROGRAM-COMMAND.1` for each subcommand.
fn pages(command: Command, directory: &Path) -> io::Result<()> {
    let named = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    std::fs::create_dir_all(directory).map_err(|error| named(directory, error))?;
    clap_mangen::generate_to(command, directory).map_err(|error| named(directory, error))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    /// A program.
    #[derive(Parser)]
    #[command(name = "program", version = "1")]
    struct Arguments {
        #[command(subcommand)]
        _command: All,
    }

    #[derive(Subcommand)]
    enum All {
        /// Runs.
        Run {
            /// Where it runs.
            #[arg(long)]
            place: String,
        },
        #[command(flatten)]
        Documents(Documents),
    }

    #[test]
    fn completions_and_pages_have_every_command_and_flag() {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let mut script = Vec::new();
            let documents = Documents::Completions { shell };
            documents.write(Arguments::command(), &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(
                script.contains("run") && script.contains("place"),
                "{script}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("man1");
        let documents = Documents::Man {
            directory: directory.clone(),
        };
        documents
            .write(Arguments::command(), &mut io::sink())
            .unwrap();
        let page = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        assert!(page("program.1").contains("run"));
        assert!(page("program-run.1").contains("Where it runs"));
        let count = std::fs::read_dir(&directory).unwrap().count();
        assert_eq!(count, 4, "the program, and three commands");
        let file = directory.join("program.1");
        let documents = Documents::Man { directory: file };
        let error = documents.write(Arguments::command(), &mut io::sink());
        assert!(error.unwrap_err().to_string().contains("program.1"));
    }
}
