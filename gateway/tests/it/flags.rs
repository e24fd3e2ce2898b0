//! Configurations of servers under test, from flags as the program reads them.

use clap::Parser as _;
use gateway::config::{Error, Serve, Server};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    serve: Serve,
}

/// The configuration of these flags of `serve`.
pub(crate) fn config(flags: &str) -> Result<Server, Error> {
    let line = std::iter::once("serve").chain(flags.split_whitespace());
    Line::parse_from(line).serve.server()
}

/// The flag that serves only the manifests of a file in this folder.
pub(crate) fn kinds(file: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    format!("--no-default-resources --resources {folder}/{file}")
}
