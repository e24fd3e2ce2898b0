//! Which storage driver is used.

use std::path::PathBuf;
use std::str::FromStr;

use super::{DataDir, Error, Program};
use crate::backend::Endpoint;

const SQLITE: &str = "backend-sqlite";

/// The storage driver of a standalone server.
#[derive(Debug, Clone)]
pub enum Driver {
    /// `backend-sqlite`, from beside our own executable.
    Sqlite,
    /// A program that takes `--listen unix:///SOCKET`.
    Exec(PathBuf),
    /// One that runs already.
    Running(Box<Endpoint>),
}

impl Driver {
    /// The program to start; `None` if the driver runs already.
    ///
    /// # Errors
    /// If it is not there.
    pub fn program(&self, data: &DataDir) -> Result<Option<Program>, Error> {
        let program = match self {
            Self::Running(_) => return Ok(None),
            Self::Exec(path) => Program {
                path: path.clone(),
                arguments: Vec::new(),
            },
            Self::Sqlite => Program {
                path: beside_us(SQLITE),
                arguments: vec!["--path".into(), data.database().into()],
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
    // Without a path of our own it is looked for in the current directory, and named so if absent.
    std::env::current_exe()
        .unwrap_or_default()
        .with_file_name(name)
}

impl FromStr for Driver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let choices = "use sqlite, exec:/path/to/driver or unix:///SOCKET";
        if let Some(path) = text.strip_prefix("exec:") {
            return Ok(Self::Exec(path.into()));
        }
        match text {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Err(format!(
                "the PostgreSQL driver comes with the next release: {choices}"
            )),
            _ if text.starts_with("unix://") => {
                let endpoint: Endpoint = text.parse().map_err(|_| choices.to_owned())?;
                Ok(Self::Running(Box::new(endpoint)))
            }
            _ => Err(choices.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_chosen_by_name_path_or_socket() {
        let parse = |text: &str| text.parse::<Driver>();
        assert!(matches!(parse("sqlite"), Ok(Driver::Sqlite)));
        assert!(matches!(parse("exec:/bin/x"), Ok(Driver::Exec(path)) if path == *"/bin/x"));
        assert!(matches!(parse("unix:///run/x"), Ok(Driver::Running(_))));
        for (text, part) in [
            ("postgres", "next release"),
            ("mysql", "use sqlite"),
            ("unix://x", "use sqlite"),
            ("", "use sqlite"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).unwrap();
        let driver: Driver = "exec:/no/such/driver".parse().unwrap();
        let error = driver.program(&data).unwrap_err().to_string();
        assert!(
            error.starts_with("no storage driver at /no/such/driver: "),
            "{error}"
        );
    }
}
