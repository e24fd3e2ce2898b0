//! `compact`: drops history.

use anyhow::Result;

use crate::args;
use crate::deadlines::Deadlines;
use crate::output;
use crate::store::Store;

/// Drops history up to a revision, or all of it.
///
/// # Errors
/// If the revision is above the current one, or the store is unreachable.
pub async fn run(arguments: &args::Compact, deadlines: Deadlines) -> Result<()> {
    let store = Store::at(&arguments.at, deadlines)?;
    let revision = match arguments.revision {
        Some(revision) => revision,
        None => store.head().await?.revision,
    };
    let header = store.compact(revision).await?;
    output::line(format_args!(
        "history begins after revision {}; the newest is {}",
        header.compact_revision, header.revision
    ));
    Ok(())
}
