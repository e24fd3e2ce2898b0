//! Runs commands with a deadline.

use std::process::{Command, Stdio};

use tokio::time::timeout;

use crate::DEADLINE;
use crate::error::{Error, Result, tail};

/// Runs a command to its end and returns its output; `what` names it in errors.
pub(crate) async fn run(command: Command, what: &str) -> Result<String> {
    let child = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::io(what))?;
    let ended = timeout(DEADLINE, child.wait_with_output()).await;
    let output = ended.map_err(|_| Error::DeadlineExceeded {
        what: what.to_owned(),
        waited: DEADLINE,
        last: "it was killed".to_owned(),
    })?;
    let output = output.map_err(Error::io(what))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(Error::Failed {
        program: what.to_owned(),
        output: format!("{}: {}", output.status, tail(&format!("{printed}{errors}"))),
    })
}
