//! kubectl steps.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::watch::Sender;

use super::capture::Capture;
use super::variables::Variables;
use super::words::split;
use crate::engine::Engine;
use crate::scenario::Step;

/// Starts kubectl in `folder`/work with the kubeconfig beside it.
///
/// # Errors
/// If a variable is not set or kubectl cannot be started.
pub fn start(
    engine: &Engine,
    variables: &Variables,
    folder: &Path,
    step: &Step,
    arguments: &str,
) -> Result<(Child, String)> {
    let mut command = Command::new(&engine.kubectl);
    command
        .args(split(&variables.fill(arguments)?)?)
        .current_dir(folder.join("work"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", engine.home())
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, value) in &step.env {
        command.env(name, variables.fill(value)?);
    }
    let stdin = variables.fill(step.raw.as_deref().unwrap_or_default())?;
    Ok((command.spawn().context("cannot start kubectl")?, stdin))
}

/// Writes standard input and reads the output until the process ends.
pub async fn receive(mut child: Child, stdin: String, sink: Sender<Capture>) {
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut input) = input {
            // kubectl may exit without reading all input.
            let _ = input.write_all(stdin.as_bytes()).await;
        }
    };
    let out = copy(out, &sink, |capture| &mut capture.out);
    let err = copy(err, &sink, |capture| &mut capture.err);
    futures_util::future::join3(feed, out, err).await;
    let exit = child.wait().await.ok().and_then(|status| status.code());
    sink.send_modify(|capture| {
        capture.exit = exit;
        capture.ended = true;
    });
}

async fn copy<R: AsyncRead + Unpin>(
    source: Option<R>,
    sink: &Sender<Capture>,
    target: impl Fn(&mut Capture) -> &mut Vec<u8>,
) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = source.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        sink.send_modify(|capture| target(capture).extend_from_slice(&buffer[..count]));
    }
}
