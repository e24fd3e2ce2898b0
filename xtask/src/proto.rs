//! `cargo xtask proto`: lint of the protocol, and its compatibility with the last release, with a
//! pinned buf.

use anyhow::Result;

use crate::run::{self, step};
use crate::tools::go_installed;

const BUF: &str = "1.75.0";

/// Checks `proto/`; skipped, with a line that says so, where Go is missing.
pub(crate) fn check() -> Result<()> {
    let Some(buf) = go_installed("buf", "github.com/bufbuild/buf/cmd/buf", BUF)? else {
        println!("skipped: Go is missing, which builds buf");
        return Ok(());
    };
    let folder = run::workspace_root().join("proto");
    let buf = |arguments: &[&str]| {
        let mut command = run::command(&buf);
        command.args(arguments).current_dir(&folder);
        command
    };
    step("buf lint", &mut buf(&["lint"]))?;
    let against = ["breaking", "--against", "released.binpb"];
    step("buf breaking", &mut buf(&against))
}
