//! Merge of a cluster, user and context into a kubeconfig, as kind and k3d do it. A pure function.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Error;

/// Name of the context.
pub const CONTEXT: &str = "ark";
const CLUSTER: &str = "ark";
const USER: &str = "ark-admin";
/// Extension of our cluster, which names the data directory of the server.
const EXTENSION: &str = "ark-apiserver.mckinsey.com/standalone";

/// What the entries say. Certificates and key are in base64.
pub(super) struct Entry<'a> {
    pub(super) server: &'a str,
    pub(super) authority: &'a str,
    pub(super) certificate: &'a str,
    pub(super) key: &'a str,
    pub(super) data_dir: &'a str,
}

/// A kubeconfig with the entries.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) config: Value,
    /// Whether its current context is ours.
    pub(super) is_current: bool,
}

/// Why the entries cannot be merged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Malformed(String),
    /// An entry of another server has the name.
    Taken(&'static str, &'static str),
}

impl Problem {
    pub(super) fn in_file(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Malformed(problem) => Error::Malformed { path, problem },
            Self::Taken(kind, name) => Error::Taken { path, kind, name },
        }
    }
}

/// Merges the entries; all other content stays. With `own`, entries of our names are ours.
///
/// The context becomes the current one when it is added, as with kind and k3d; if it was there, the
/// choice of the user stays.
pub(super) fn merge(existing: Value, entry: &Entry<'_>, own: bool) -> Result<Merged, Problem> {
    let mut config = match existing {
        Value::Null => Map::new(),
        Value::Object(config) => config,
        _ => return Err(Problem::Malformed("it is no object".to_owned())),
    };
    if config.get("kind").is_some_and(|kind| kind != "Config") {
        return Err(Problem::Malformed("its kind is not Config".to_owned()));
    }
    if !own {
        check(&config, entry)?;
    }
    config.insert("apiVersion".to_owned(), json!("v1"));
    config.insert("kind".to_owned(), json!("Config"));
    put(&mut config, "clusters", CLUSTER, |found| {
        *found = json!({"name": CLUSTER, "cluster": {
            "server": entry.server,
            "certificate-authority-data": entry.authority,
            "extensions": [
                {"name": EXTENSION, "extension": {"dataDirectory": entry.data_dir}},
            ],
        }});
    })?;
    put(&mut config, "users", USER, |found| {
        *found = json!({"name": USER, "user": {
            "client-certificate-data": entry.certificate,
            "client-key-data": entry.key,
        }});
    })?;
    let added = put(&mut config, "contexts", CONTEXT, |found| {
        let namespace = found["context"]["namespace"].as_str().unwrap_or("default");
        *found = json!({"name": CONTEXT, "context": {
            "cluster": CLUSTER, "user": USER, "namespace": namespace,
        }});
    })?;
    let current = config.get("current-context").and_then(Value::as_str);
    let none = current.is_none_or(str::is_empty);
    let is_current = added || none || current == Some(CONTEXT);
    if added || none {
        config.insert("current-context".to_owned(), json!(CONTEXT));
    }
    Ok(Merged {
        config: Value::Object(config),
        is_current,
    })
}

/// Checks that entries of our names are those of this server, or do not exist.
fn check(config: &Map<String, Value>, entry: &Entry<'_>) -> Result<(), Problem> {
    let cluster = find(config, "clusters", CLUSTER);
    let ours = cluster.is_some_and(|cluster| {
        let cluster = &cluster["cluster"];
        let extensions = cluster["extensions"].as_array();
        let named = extensions.into_iter().flatten().any(|extension| {
            extension["name"] == EXTENSION
                && extension["extension"]["dataDirectory"] == entry.data_dir
        });
        named || cluster["certificate-authority-data"] == entry.authority
    });
    if cluster.is_some() && !ours {
        return Err(Problem::Taken("cluster", CLUSTER));
    }
    if !ours && find(config, "users", USER).is_some() {
        return Err(Problem::Taken("user", USER));
    }
    match find(config, "contexts", CONTEXT) {
        Some(found) if found["context"]["cluster"] != CLUSTER => {
            Err(Problem::Taken("context", CONTEXT))
        }
        _ => Ok(()),
    }
}

fn find<'a>(config: &'a Map<String, Value>, list: &str, name: &str) -> Option<&'a Value> {
    let entries = config.get(list).and_then(Value::as_array);
    entries?.iter().find(|entry| entry["name"] == name)
}

/// Sets the entry of a name in a list; whether it was added.
fn put(
    config: &mut Map<String, Value>,
    list: &'static str,
    name: &str,
    set: impl FnOnce(&mut Value),
) -> Result<bool, Problem> {
    let entries = config.entry(list).or_insert(Value::Null);
    if entries.is_null() {
        *entries = json!([]);
    }
    let Some(entries) = entries.as_array_mut() else {
        return Err(Problem::Malformed(format!("{list} is no list")));
    };
    let found = entries.iter().position(|entry| entry["name"] == name);
    let mut entry = found.map_or(Value::Null, |at| entries[at].take());
    set(&mut entry);
    match found {
        Some(at) => entries[at] = entry,
        None => entries.push(entry),
    }
    Ok(found.is_none())
}
