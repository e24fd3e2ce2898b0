//! Text that is printed instead of running a command.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use logs::Format;

use crate::redacted;

/// Exit code of invalid arguments, the same as clap's.
const MISUSE: u8 = 2;

/// Help, the version, or one line about invalid arguments.
#[derive(Debug)]
pub struct Usage {
    text: String,
    failed: bool,
}

/// Parses the arguments of a process.
///
/// # Errors
/// Text to print instead of running: help, the version, or a usage error.
pub fn parse<T: Parser>(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<T, Usage> {
    T::try_parse_from(arguments).map_err(Usage::from)
}

impl Usage {
    /// Whether the arguments were invalid. Otherwise the text is requested help or the version.
    #[must_use]
    pub const fn failed(&self) -> bool {
        self.failed
    }

    /// The error without its prefix and line end.
    fn problem(&self) -> &str {
        let text = self.text.trim_end();
        text.strip_prefix("error: ").unwrap_or(text)
    }

    /// Prints an error on standard error in the format of the logs of `program`, help and version on
    /// standard output.
    #[must_use]
    pub fn print(&self, program: &str, format: Format) -> ExitCode {
        if self.failed {
            format.report(program, self.problem());
            return ExitCode::from(MISUSE);
        }
        // The reader of standard output may have closed it.
        let _ = write!(io::stdout(), "{self}");
        ExitCode::SUCCESS
    }
}

impl From<clap::Error> for Usage {
    fn from(error: clap::Error) -> Self {
        let failed = error.use_stderr();
        let text = error.render().to_string();
        if !failed {
            return Self { text, failed };
        }
        // The first paragraph states the error; the rest repeats the help. Without a subcommand
        // clap prints the help alone.
        let lines = text.lines().take_while(|line| !line.trim().is_empty());
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        let problem = match words.first() {
            Some(&"error:") => words.join(" "),
            _ => "error: a command is required".to_owned(),
        };
        // clap quotes arguments, and one may be a connection string passed to the wrong flag.
        let problem = redacted(&problem);
        let text = format!("{problem} (see --help)\n");
        Self { text, failed }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Program.
    #[derive(Debug, Parser)]
    #[command(name = "program", version = "1")]
    struct Arguments {
        #[command(subcommand)]
        _command: Command,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Command {
        /// Command.
        Run {
            /// Where.
            #[arg(long, value_name = "WHERE")]
            at: String,
            /// How often.
            #[arg(long, value_name = "N")]
            often: Option<u32>,
        },
    }

    fn usage(line: &str) -> Usage {
        parse::<Arguments>(line.split_whitespace()).unwrap_err()
    }

    #[test]
    fn usage_error_is_one_line() {
        for (line, part) in [
            ("program", "a command is required"),
            ("program walk", "'walk'"),
            ("program run", "--at <WHERE>"),
            ("program run --at a --bogus", "'--bogus'"),
            ("program run --at a --often b", "invalid value 'b'"),
            (
                "program run --at a postgres://u:s3cret@h/d",
                "'postgres://u:***@h/d'",
            ),
        ] {
            let usage = usage(line);
            let text = usage.to_string();
            assert!(usage.failed() && text.starts_with("error: "), "{text}");
            assert!(
                text.contains(part) && text.contains("(see --help)"),
                "{text}"
            );
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.contains(usage.problem()), "{text}");
        }
        for line in ["program --help", "program --version", "program run --help"] {
            assert!(!usage(line).failed(), "{line}");
        }
    }
}
