//! The driver of an `ark-apiserver standalone`, found by its data directory.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The link to the socket of the running driver, below the data directory. `ark-apiserver
/// standalone` keeps it.
const SOCKET: &str = "run/backend.sock";

/// Returns the address of the driver of the server that runs on a data directory.
///
/// # Errors
/// If no server runs there.
pub(crate) fn address(directory: &Path) -> Result<String> {
    let link = directory.join(SOCKET);
    // Resolved, because the path of a socket may have 107 bytes only.
    let socket = link.canonicalize().with_context(|| {
        format!(
            "{}: no server runs on this data directory: start ark-apiserver standalone, or name \
             the endpoint of a driver",
            directory.display()
        )
    })?;
    let text = socket.to_str();
    ensure!(
        text.is_some(),
        "{}: the path is not UTF-8",
        socket.display()
    );
    Ok(format!("unix://{}", text.unwrap_or_default()))
}
