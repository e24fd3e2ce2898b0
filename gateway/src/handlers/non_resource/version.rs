//! `/version`: the compatible Kubernetes version and the build.

use axum::body::Body;
use http::Response;
use serde::Serialize;

use crate::reply;

/// The version of kube-apiserver that the scenarios compare with, and the one before.
const MAJOR: &str = "1";
const MINOR: &str = "37";
const MINOR_BEFORE: &str = "36";
/// kubectl parses the part before the `+`; the rest is for people.
const GIT_VERSION: &str = concat!("v1.37.0+ark-", env!("CARGO_PKG_VERSION"));

/// The document, with the field order of kube-apiserver.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    major: &'static str,
    minor: &'static str,
    emulation_major: &'static str,
    emulation_minor: &'static str,
    min_compatibility_major: &'static str,
    min_compatibility_minor: &'static str,
    git_version: &'static str,
    git_commit: &'static str,
    git_tree_state: &'static str,
    build_date: &'static str,
    go_version: &'static str,
    compiler: &'static str,
    platform: String,
}

/// The response.
pub(super) fn respond() -> Response<Body> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    reply::pretty_json(&Version {
        major: MAJOR,
        minor: MINOR,
        emulation_major: MAJOR,
        emulation_minor: MINOR,
        min_compatibility_major: MAJOR,
        min_compatibility_minor: MINOR_BEFORE,
        git_version: GIT_VERSION,
        git_commit: option_env!("ARK_BUILD_COMMIT").unwrap_or("unknown"),
        git_tree_state: option_env!("ARK_BUILD_TREE_STATE").unwrap_or("unknown"),
        build_date: option_env!("ARK_BUILD_DATE").unwrap_or("1970-01-01T00:00:00Z"),
        // Clients expect the field, although no Go is used.
        go_version: "none",
        compiler: "rustc",
        platform: format!("{}/{architecture}", std::env::consts::OS),
    })
}
