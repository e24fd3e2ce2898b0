//! `fence`: sets or lifts the fence of a store.

use anyhow::Result;

use crate::args;
use crate::output;
use crate::store::Store;

/// Sets the fence with a reason, or lifts it.
///
/// # Errors
/// If the driver does not support fences, or is unreachable.
pub async fn run(arguments: &args::Fence) -> Result<()> {
    let store = Store::at(&arguments.at)?;
    let header = store.fence(arguments.reason.as_deref()).await?;
    let revision = header.revision;
    if arguments.reason.is_some() {
        output::line(format_args!(
            "fenced: no change comes after revision {revision}"
        ));
    } else {
        output::line(format_args!(
            "lifted the fence: writes are accepted again, after revision {revision}"
        ));
    }
    Ok(())
}
