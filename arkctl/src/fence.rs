//! `fence`: sets or lifts the fence of a store.
//!
//! A fence may be that of a finished move: without it, both stores accept writes. So a fence is
//! lifted or replaced only by who names its reason, or with `--force`.

use anyhow::{Result, bail};

use crate::args;
use crate::deadlines::Deadlines;
use crate::output;
use crate::store::Store;

/// Sets the fence with a reason, or lifts it.
///
/// # Errors
/// If another fence is set, the driver does not support fences, or is unreachable.
pub async fn run(arguments: &args::Fence, deadlines: Deadlines) -> Result<()> {
    let store = Store::at(&arguments.at, deadlines)?;
    let found = store.describe().await?.fenced;
    let known = arguments.force || found.is_empty() || arguments.reason.as_ref() == Some(&found);
    match &arguments.reason {
        _ if arguments.lift => lift(&store, &found, known).await,
        Some(reason) => set(&store, &found, reason, known).await,
        None => bail!("--reason or --lift is required"),
    }
}

async fn set(store: &Store, found: &str, reason: &str, known: bool) -> Result<()> {
    if !known {
        bail!(
            "{}: it is fenced already: {found}; --force replaces this reason",
            store.address
        );
    }
    let revision = store.fence(Some(reason)).await?.revision;
    if !found.is_empty() && found != reason {
        output::line(format_args!("replaced the fence: {found}"));
    }
    output::line(format_args!(
        "fenced: no change comes after revision {revision}"
    ));
    Ok(())
}

async fn lift(store: &Store, found: &str, known: bool) -> Result<()> {
    if found.is_empty() {
        output::line(format_args!("{}: it is not fenced", store.address));
        return Ok(());
    }
    if !known {
        bail!(
            "{}: the fence stays: {found}. Lift it only if no other store has taken over, because \
             both would accept writes: repeat the command with --reason '{found}', or --force",
            store.address
        );
    }
    let revision = store.fence(None).await?.revision;
    output::line(format_args!(
        "lifted the fence: {found}; writes are accepted again, after revision {revision}"
    ));
    Ok(())
}
