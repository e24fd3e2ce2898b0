//! Reads manifests from files and directories.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_types::field;
use crd_schema::Definition;
use ring::digest::{Context, SHA256};
use serde_json::Value;

use super::body_limit::{self, BodyLimit};
use super::{BuiltIn, Catalog, Conflict, Resource, documents};

/// Limit of request bodies of built-in kinds, bytes.
const BUILT_IN_BODY_LIMIT: usize = 3 << 20;

/// A checked definition and its warnings for operators.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The declared resource.
    pub resource: Arc<Resource>,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// Why manifests cannot be served. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A path cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The IO error.
        source: std::io::Error,
    },
    /// A directory contains no manifest.
    #[error("{path}: no file ends in .yaml, .yml or .json", path = path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// The files of a path contain no document.
    #[error("{path}: it contains no CustomResourceDefinition", path = path.display())]
    NoDocument {
        /// The file or directory.
        path: PathBuf,
    },
    /// A document is neither YAML nor JSON.
    #[error("{at}: {problem}")]
    Syntax {
        /// File and document.
        at: String,
        /// The text of the parser.
        problem: String,
    },
    /// A document is not a `CustomResourceDefinition`.
    #[error("{at}: {found} is not a CustomResourceDefinition of apiextensions.k8s.io/v1")]
    Kind {
        /// File and document.
        at: String,
        /// Its kind.
        found: String,
    },
    /// kube-apiserver would reject the definition.
    #[error("{at}: {name} is invalid: {problems}", problems = field::aggregate(problems))]
    Invalid {
        /// File and document.
        at: String,
        /// `metadata.name` of the definition.
        name: String,
        /// The errors, with kube-apiserver's text.
        problems: Vec<field::Error>,
    },
    /// Two definitions of one resource or kind.
    #[error("{at}: {source}")]
    Conflict {
        /// The second file.
        at: String,
        /// The conflict.
        source: Conflict,
    },
}

/// Reads the manifests of files, and of the files directly in directories, in the order of their
/// names. `default_body_limit` is in bytes.
///
/// # Errors
/// At the first manifest that cannot be served.
pub fn read_paths(
    paths: &[PathBuf],
    default_body_limit: usize,
) -> Result<Vec<Manifest>, LoadError> {
    let mut manifests: Vec<Manifest> = Vec::new();
    let mut seen = Catalog::default();
    for path in paths {
        let before = manifests.len();
        for file in files(path)? {
            let text = std::fs::read(&file).map_err(|source| LoadError::Unreadable {
                path: file.clone(),
                source,
            })?;
            let at = file.display().to_string();
            for manifest in parse(&at, &text, default_body_limit)? {
                let added = seen.with(Arc::clone(&manifest.resource));
                seen = added.map_err(|source| LoadError::Conflict {
                    at: at.clone(),
                    source,
                })?;
                manifests.push(manifest);
            }
        }
        // An editor or a copy that has just begun leaves an empty file.
        if manifests.len() == before {
            let path = path.clone();
            return Err(LoadError::NoDocument { path });
        }
    }
    Ok(manifests)
}

/// A digest of the names and contents of the files that [`read_paths`] would read, or of the error:
/// equal digests mean the same result.
#[must_use]
pub fn fingerprint(paths: &[PathBuf]) -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    // Lengths separate the parts, so that no two sequences of parts have one text.
    let mut part = |bytes: &[u8]| {
        digest.update(&bytes.len().to_le_bytes());
        digest.update(bytes);
    };
    for path in paths {
        let files = files(path).unwrap_or_else(|error| {
            part(error.to_string().as_bytes());
            Vec::new()
        });
        for file in files {
            part(file.as_os_str().as_encoded_bytes());
            match std::fs::read(&file) {
                Ok(text) => part(&text),
                Err(error) => part(error.to_string().as_bytes()),
            }
        }
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.finish().as_ref());
    bytes
}

/// Parses the manifests of one text; `source` names it in errors. As for kubectl, YAML documents are
/// separated by `---`, JSON documents may follow one another, and lists stand for their items;
/// empty documents are skipped.
///
/// # Errors
/// At the first document that cannot be served.
pub fn parse(
    source: &str,
    text: &[u8],
    default_body_limit: usize,
) -> Result<Vec<Manifest>, LoadError> {
    parse_with(source, text, default_body_limit, None)
}

/// Compiles built-in kinds.
///
/// # Errors
/// If a manifest is invalid, which is a bug of the program.
pub(crate) fn compile_built_in(kinds: &[BuiltIn]) -> Result<Vec<Arc<Resource>>, LoadError> {
    let mut resources = Vec::new();
    for kind in kinds {
        let text = kind.manifest.as_bytes();
        let parsed = parse_with("built-in kinds", text, BUILT_IN_BODY_LIMIT, Some(kind))?;
        resources.extend(parsed.into_iter().map(|manifest| manifest.resource));
    }
    Ok(resources)
}

/// As [`parse`], for the manifests of a built-in kind if there is one.
fn parse_with(
    source: &str,
    text: &[u8],
    default_body_limit: usize,
    built_in: Option<&BuiltIn>,
) -> Result<Vec<Manifest>, LoadError> {
    let text = String::from_utf8_lossy(text);
    let documents = documents::split(&text);
    let many = documents.len() > 1;
    let mut manifests = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        let at = if many {
            format!("{source}: document {}", index + 1)
        } else {
            source.to_owned()
        };
        let parsed = kube_json::yaml::parse(document.as_bytes()).map_err(|error| {
            let problem = error.to_string();
            LoadError::Syntax {
                at: at.clone(),
                problem,
            }
        })?;
        if parsed.value.is_null() {
            continue;
        }
        for (item, value) in documents::objects(parsed.value) {
            let at = format!("{at}{item}");
            manifests.push(manifest(at, value, default_body_limit, built_in)?);
        }
    }
    Ok(manifests)
}

fn manifest(
    at: String,
    value: Value,
    default_body_limit: usize,
    built_in: Option<&BuiltIn>,
) -> Result<Manifest, LoadError> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if (api_version, kind) != ("apiextensions.k8s.io/v1", "CustomResourceDefinition") {
        let found = match (kind, api_version) {
            ("", _) => "a document without kind".to_owned(),
            (kind, "") => format!("{kind} without apiVersion"),
            (kind, _) => format!("{kind} of {api_version}"),
        };
        return Err(LoadError::Kind { at, found });
    }
    let name = value["metadata"]["name"].as_str().unwrap_or("?").to_owned();
    let invalid = |problems| LoadError::Invalid {
        at: at.clone(),
        name: name.clone(),
        problems,
    };
    let loaded = Definition::from_manifest(&value).map_err(invalid)?;
    let limit = match body_limit::annotated(&value) {
        BodyLimit::Bytes(bytes) => bytes,
        BodyLimit::Unset => default_body_limit,
        BodyLimit::Bad(error) => return Err(invalid(vec![error])),
    };
    let warnings = loaded.warnings.iter().map(|it| format!("{at}: {it}"));
    let definition = loaded.definition;
    Ok(Manifest {
        warnings: warnings.collect(),
        resource: Arc::new(match built_in {
            None => Resource::new(definition, value, limit),
            Some(built_in) => Resource::built_in(definition, value, limit, *built_in),
        }),
    })
}

fn files(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(LoadError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(files)
}
