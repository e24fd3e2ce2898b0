//! The descriptor limit (`RLIMIT_NOFILE`). The soft limit is usually 1,024 for the sake of programs
//! that use `select(2)`; other programs are expected to raise it themselves.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard limit. Returns the number of descriptors that the process may
/// open.
pub fn raise() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open descriptors");
            current
        }
    };
    // None means unlimited.
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}
