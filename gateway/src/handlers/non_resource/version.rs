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

/// What the running program was built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// Commit.
    pub commit: &'static str,
    /// `clean`, or `dirty` if files differed from the commit.
    pub tree_state: &'static str,
    /// RFC 3339.
    pub date: &'static str,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            commit: "unknown",
            tree_state: "unknown",
            date: "1970-01-01T00:00:00Z",
        }
    }
}

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
pub(super) fn respond(build: Build) -> Response<Body> {
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
        git_commit: build.commit,
        git_tree_state: build.tree_state,
        build_date: build.date,
        // Clients expect the field, although no Go is used.
        go_version: "none",
        compiler: "rustc",
        platform: format!("{}/{architecture}", std::env::consts::OS),
    })
}
