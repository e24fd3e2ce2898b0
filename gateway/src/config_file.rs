//! Configuration files that flags name: one document in YAML or JSON each.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Limit of a file. Files of this kind have a few kilobytes; a device would never end.
const MAX_BYTES: u64 = 1 << 20;
/// Limit of a problem's text, characters: an error of a parser may repeat the whole file.
const MAX_PROBLEM: usize = 300;

/// Why a configuration file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The IO error.
        source: std::io::Error,
    },
    /// The content is not the expected document.
    #[error("{path}: {problem}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and how to fix it.
        problem: String,
    },
}

impl ConfigFileError {
    /// An error of the content.
    pub(crate) fn invalid(path: &Path, problem: impl Into<String>) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

/// Reads a file.
///
/// # Errors
/// If the file cannot be read, or is longer than 1 MiB.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, ConfigFileError> {
    let unreadable = |source| ConfigFileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut content);
    read.map_err(unreadable)?;
    if content.len() as u64 > MAX_BYTES {
        let problem = format!("has more than {MAX_BYTES} bytes");
        return Err(ConfigFileError::invalid(path, problem));
    }
    Ok(content)
}

/// Reads the document of a file; its members are not checked.
///
/// # Errors
/// If the file cannot be read, or is no document.
pub(crate) fn read(path: &Path) -> Result<Value, ConfigFileError> {
    document(&bytes(path)?).map_err(|problem| ConfigFileError::invalid(path, problem))
}

/// Parses a document with members, none of which occurs twice.
///
/// # Errors
/// What is wrong.
pub(crate) fn document(text: &[u8]) -> Result<Value, String> {
    let parsed = kube_json::yaml::parse(text).map_err(|error| short(&error.to_string()))?;
    if let Some(duplicate) = parsed.duplicates.first() {
        let duplicate = short(duplicate);
        return Err(format!("duplicate field {duplicate:?}: remove one"));
    }
    match parsed.value {
        document @ Value::Object(_) => Ok(document),
        Value::Null => Err("the file is empty".to_owned()),
        _ => Err("the file is no document with apiVersion and kind".to_owned()),
    }
}

/// The members of a document, or of a part of one.
///
/// # Errors
/// What is wrong.
pub(crate) fn members<T: DeserializeOwned>(document: Value) -> Result<T, String> {
    T::deserialize(document).map_err(|error| short(&error.to_string()))
}

fn short(problem: &str) -> String {
    match problem.char_indices().nth(MAX_PROBLEM) {
        Some((end, _)) => format!("{}…", &problem[..end]),
        None => problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_members_are_rejected() {
        for (text, problem) in [
            ("", "the file is empty"),
            ("---\n", "the file is empty"),
            ("# nothing\n", "the file is empty"),
            ("word", "no document with apiVersion and kind"),
            ("- kind: Policy", "no document with apiVersion and kind"),
            ("kind: A\nkind: B", "duplicate field"),
            ("kind: [", "yaml"),
        ] {
            let found = document(text.as_bytes()).unwrap_err();
            assert!(found.contains(problem), "{text:?}: {found}");
        }
        assert!(document(b"{\"kind\": \"Policy\"}").is_ok());
    }

    #[test]
    fn problems_do_not_repeat_the_file() {
        let long = "a".repeat(100_000);
        let found = members::<u32>(Value::String(long)).unwrap_err();
        assert!(found.chars().count() <= MAX_PROBLEM + 1, "{found}");
    }

    #[test]
    fn endless_and_missing_files_are_rejected() {
        let endless = bytes(Path::new("/dev/zero")).unwrap_err();
        assert!(endless.to_string().contains("has more than 1048576 bytes"));
        let missing = bytes(Path::new("/nothing")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read /nothing: "));
        let folder = bytes(Path::new("/")).unwrap_err();
        assert!(folder.to_string().starts_with("cannot read /: "));
    }
}
