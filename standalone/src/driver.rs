//! Selection of the storage driver.

use std::path::PathBuf;
use std::str::FromStr;

use crate::{DataDir, Dsn, Error, Logs, Program};
use gateway::backend::Endpoint;

const SQLITE: &str = "backend-sqlite";
const POSTGRES: &str = "backend-postgres";
/// The variable from which `backend-postgres` reads its DSN.
const POSTGRES_DSN: &str = "ARK_BACKEND_POSTGRES_DSN";

/// The storage driver of a standalone server.
#[derive(Debug, Clone)]
pub enum Driver {
    /// `backend-sqlite` from the directory of our executable.
    Sqlite,
    /// `backend-postgres` from that directory, and its database.
    Postgres(Dsn),
    /// A program that accepts `--listen unix:///SOCKET`.
    Exec(PathBuf),
    /// A driver that is already running.
    Running(Box<Endpoint>),
}

/// The value of `--backend`, which may need a DSN in addition.
#[derive(Debug, Clone)]
pub enum Choice {
    /// A complete choice.
    Complete(Driver),
    /// The PostgreSQL driver, which needs a DSN.
    Postgres,
}

impl Driver {
    /// The program to start; `None` if the driver is already running.
    ///
    /// # Errors
    /// If the program does not exist.
    pub fn program(&self, data: &DataDir, logs: &Logs) -> Result<Option<Program>, Error> {
        let program = |path| Program::new(path, logs.clone());
        let program = match self {
            Self::Running(_) => return Ok(None),
            Self::Exec(path) => program(path.clone()),
            Self::Sqlite => Program {
                arguments: vec!["--path".into(), data.database().into()],
                ..program(beside_us(SQLITE))
            },
            Self::Postgres(dsn) => Program {
                // Not an argument, because every user of the machine can read arguments.
                secret: Some((POSTGRES_DSN, dsn.clone())),
                ..program(beside_us(POSTGRES))
            },
        };
        if program.path.is_file() {
            Ok(Some(program))
        } else {
            Err(Error::NoDriver(program.path))
        }
    }
}

fn beside_us(name: &str) -> PathBuf {
    // Without the path of our executable the current directory is searched, and named in the error.
    std::env::current_exe()
        .unwrap_or_default()
        .with_file_name(name)
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let choices = "use sqlite, postgres, exec:/path/to/driver or unix:///SOCKET";
        if let Some(path) = text.strip_prefix("exec:") {
            return Ok(Self::Complete(Driver::Exec(path.into())));
        }
        match text {
            "sqlite" => Ok(Self::Complete(Driver::Sqlite)),
            "postgres" => Ok(Self::Postgres),
            _ if text.starts_with("unix://") => {
                let endpoint: Endpoint = text.parse().map_err(|_| choices.to_owned())?;
                Ok(Self::Complete(Driver::Running(Box::new(endpoint))))
            }
            _ => Err(choices.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_selected_by_name_path_or_socket() {
        use Choice::{Complete, Postgres};
        let parse = |text: &str| text.parse::<Choice>();
        assert!(matches!(parse("sqlite"), Ok(Complete(Driver::Sqlite))));
        assert!(matches!(parse("postgres"), Ok(Postgres)));
        let exec = parse("exec:/bin/x");
        assert!(matches!(exec, Ok(Complete(Driver::Exec(path))) if path == *"/bin/x"));
        let running = parse("unix:///run/x");
        assert!(matches!(running, Ok(Complete(Driver::Running(_)))));
        for text in ["postgres://u@h/db", "mysql", "unix://x", ""] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("use sqlite"), "{text}: {error}");
        }
    }

    #[test]
    fn missing_program_error_names_path() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).unwrap();
        let driver = Driver::Exec("/no/such/driver".into());
        let logs = Logs {
            filter: logs::Filter::default(),
            format: logs::Format::Text,
        };
        let error = driver.program(&data, &logs).unwrap_err().to_string();
        assert!(
            error.starts_with("no storage driver at /no/such/driver: "),
            "{error}"
        );
    }
}
