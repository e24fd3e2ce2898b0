//! Dependencies point one way.
//!
//! Two tables: the crates of the workspace on which each crate may depend, and the modules that
//! each module of the gateway may import. Reviews of single changes do not preserve such a
//! property, so a test does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{files, relative};

/// crate → crates of the workspace on which it may depend (tests may use more).
const CRATES: &[(&str, &[&str])] = &[
    ("backend-proto", &[]),
    ("kube-json", &[]),
    ("api-types", &["kube-json"]),
    ("crd-schema", &["api-types", "kube-json"]),
    ("structured-merge", &[]),
    ("watch-cache", &[]),
    ("build-info", &[]),
    ("logs", &[]),
    ("exposition", &[]),
    ("command-line", &["logs"]),
    ("sidecar", &["backend-proto", "exposition", "logs"]),
    ("postgres-testkit", &[]),
    ("backend-client", &["backend-proto"]),
    ("kube-http", &[]),
    ("workload", &["kube-http"]),
    (
        "conformance",
        &["backend-proto", "backend-client", "sidecar", "workload"],
    ),
    (
        "backend-postgres",
        &[
            "backend-proto",
            "backoff",
            "build-info",
            "command-line",
            "logs",
            "sidecar",
        ],
    ),
    (
        "backend-sqlite",
        &[
            "backend-proto",
            "build-info",
            "command-line",
            "logs",
            "sidecar",
        ],
    ),
    (
        "gateway",
        &[
            "backend-client",
            "backend-proto",
            "backoff",
            "exposition",
            "kube-json",
            "api-types",
            "crd-schema",
            "structured-merge",
            "watch-cache",
            "pki",
        ],
    ),
    ("pki", &[]),
    ("backoff", &[]),
    // The gateway depends on no driver; standalone starts one as a process.
    (
        "standalone",
        &[
            "api-types",
            "backoff",
            "command-line",
            "gateway",
            "kube-json",
            "logs",
            "pki",
        ],
    ),
    (
        "ark-apiserver",
        &[
            "build-info",
            "command-line",
            "gateway",
            "kube-json",
            "logs",
            "standalone",
        ],
    ),
    (
        "arkctl",
        &[
            "backend-proto",
            "backend-client",
            "build-info",
            "command-line",
            "logs",
            "kube-http",
            "kube-json",
            "api-types",
            "crd-schema",
        ],
    ),
    ("scenarios", &["kube-http", "kube-json", "postgres-testkit"]),
    ("ark-bench", &["kube-http"]),
    (
        "ark-check",
        &[
            "ark-bench",
            "kube-http",
            "postgres-testkit",
            "scenarios",
            "workload",
        ],
    ),
    ("ark-hostile", &["kube-http", "scenarios"]),
    ("ark-chart", &["kube-http", "scenarios"]),
    ("client-kube-rs", &[]),
    ("ark-cluster", &["kube-http", "pki", "scenarios"]),
    (
        "fuzz",
        &[
            "api-types",
            "crd-schema",
            "gateway",
            "kube-json",
            "structured-merge",
        ],
    ),
    ("xtask", &[]),
];

/// Libraries without IO: they must not depend on a runtime or a socket.
const SANS_IO: &[&str] = &["kube-json", "api-types", "crd-schema", "structured-merge"];
/// Crates that a library without IO must not use.
const IO_CRATES: &[&str] = &["tokio", "hyper", "tonic", "axum", "rusqlite", "http"];

/// Gateway modules from the inside out; each may import those of earlier rows and itself.
const GATEWAY_LAYERS: &[&[&str]] = &[
    &["telemetry", "compute", "fair_queue", "config_file"],
    &["backend", "request", "reply"],
    &["kube"],
    &["store", "auth", "authz", "audit"],
    &["resources", "status", "patch", "scale"],
    &["codec", "strategy", "admission"],
    &["fields"],
    &["registry"],
    &["discovery", "openapi", "health"],
    &["serving"],
    &["serving_certificate"],
    &["stack"],
    &["handlers"],
    &["config"],
    &["app"],
];
/// The only module that may use the crates `kube` and `k8s-openapi`.
const KUBE_MODULE: &str = "kube";
/// Rows whose modules may import a sibling, with the reason.
const GATEWAY_SIBLINGS: &[(&str, &str, &str)] = &[];

/// Checks the dependency tables of all crates.
pub(super) fn crates(root: &Path) -> Result<Vec<String>> {
    let output = crate::run::cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ])
    .current_dir(root)
    .output()
    .context("cargo metadata")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata without packages")?;
    let ours: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let allowed: BTreeMap<&str, &[&str]> = CRATES.iter().copied().collect();
    let mut problems = Vec::new();
    for package in packages {
        let name = package["name"]
            .as_str()
            .context("a package without a name")?;
        let Some(may_use) = allowed.get(name) else {
            problems.push(format!(
                "{name}: add its row to CRATES in xtask/src/tidy/layers.rs"
            ));
            continue;
        };
        for dependency in normal_dependencies(package) {
            if ours.contains(dependency) && !may_use.contains(&dependency) {
                problems.push(format!("{name} must not depend on {dependency}"));
            }
            if SANS_IO.contains(&name) && IO_CRATES.contains(&dependency) {
                problems.push(format!(
                    "{name} does no IO, so it must not depend on {dependency}"
                ));
            }
        }
    }
    Ok(problems)
}

fn normal_dependencies(package: &serde_json::Value) -> impl Iterator<Item = &str> {
    package["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|dependency| dependency["kind"].is_null())
        .filter_map(|dependency| dependency["name"].as_str())
}

/// Checks every `crate::module` path in the gateway.
pub(super) fn gateway_modules(root: &Path) -> Result<Vec<String>> {
    let source = root.join("gateway/src");
    let mut problems = Vec::new();
    for path in files(&source, "rs")? {
        let module_path = relative(&source, &path);
        let module = module_path
            .split('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs");
        // Tests may import any module.
        if module == "lib" || module == "main" || module_path.ends_with("/tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        if module != KUBE_MODULE && uses_kube_crate(&text) {
            problems.push(format!(
                "gateway/src/{module_path}: only the module {KUBE_MODULE} may use the crate kube"
            ));
        }
        for used in imported_modules(&text) {
            if let Some(problem) = check_import(module, &used) {
                problems.push(format!("gateway/src/{module_path}: {problem}"));
            }
        }
    }
    Ok(problems)
}

/// Names that follow `crate::` in code, tests excluded.
fn imported_modules(text: &str) -> BTreeSet<String> {
    let production = text.split("#[cfg(test)]").next().unwrap_or_default();
    production
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| {
            line.split("crate::")
                .skip(1)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect()
}

/// Whether code names the crate `kube` or `k8s-openapi`. A plain `kube::` is the module if the file
/// imports that.
fn uses_kube_crate(text: &str) -> bool {
    let imported = text.contains("use crate::kube;") || text.contains("use crate::kube::{self");
    let mut code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.any(|line| {
        let mut named = line.match_indices("kube::").map(|(at, _)| &line[..at]);
        line.contains("k8s_openapi")
            || named.any(|before| {
                let global = before.strip_suffix("::");
                let part = |c: char| c.is_alphanumeric() || c == '_';
                match global {
                    Some(before) => !before.ends_with(part),
                    None => !before.ends_with(part) && !imported,
                }
            })
    })
}

fn check_import(module: &str, used: &str) -> Option<String> {
    if module == used {
        return None;
    }
    let row = |name: &str| GATEWAY_LAYERS.iter().position(|row| row.contains(&name));
    let Some(own) = row(module) else {
        return Some(format!("module {module} has no row in GATEWAY_LAYERS"));
    };
    let Some(other) = row(used) else {
        return Some(format!("module {used} has no row in GATEWAY_LAYERS"));
    };
    let permitted = GATEWAY_SIBLINGS
        .iter()
        .any(|(from, to, _)| *from == module && *to == used);
    (other >= own && !permitted).then(|| format!("{module} must not import {used}"))
}

#[cfg(test)]
mod tests {
    use super::{check_import, imported_modules, uses_kube_crate};

    #[test]
    fn crate_kube_is_told_from_the_module() {
        for text in [
            "use ::kube::Client;",
            "use kube::Client;",
            "let x: (::kube::Client) = y;",
            "use k8s_openapi::api::core::v1::Pod;",
        ] {
            assert!(uses_kube_crate(text), "{text}");
        }
        for text in [
            "use crate::kube::Client;",
            "use crate::kube;\nfn f(x: kube::Client) {}",
            "// the crate kube::Client",
            "use kube_json::parse;",
        ] {
            assert!(!uses_kube_crate(text), "{text}");
        }
    }

    #[test]
    fn upward_import_is_rejected() {
        assert!(check_import("codec", "handlers").is_some());
        assert!(check_import("handlers", "codec").is_none());
        assert!(check_import("codec", "codec").is_none());
        assert!(check_import("codec", "unheard_of").is_some());
    }

    #[test]
    fn imports_in_comments_are_ignored() {
        let text = "use crate::store::Store;\n// crate::app\nfn f(x: crate::codec::T) {}\n";
        let found: Vec<String> = imported_modules(text).into_iter().collect();
        assert_eq!(found, ["codec", "store"]);
    }
}
