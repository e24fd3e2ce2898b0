//! Base of new revisions that `arkctl` assigns, docs/adr/0013-revisions-below-2-53.md.

use std::time::SystemTime;

use anyhow::{Result, ensure};
use backend_proto::clock;
use backend_proto::v1::Header;

/// Returns the epoch above which records are numbered. It follows this machine's clock and lies
/// above the empty target, so that a later call for a replacement store never issues the same
/// revisions.
///
/// # Errors
/// If the clock gives another call the same epoch.
pub(crate) fn base(target: &Header, now: SystemTime) -> Result<i64> {
    let clock = clock::revision_at(now);
    ensure!(
        1 < clock && clock < clock::LAST,
        "this machine's clock is not between 2026 and 2091, and new revisions are numbered by it: \
         set it"
    );
    // The clock of the target's driver may be ahead of this machine's.
    Ok(clock.max(target.revision))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn later_base_is_above_earlier_numbers() {
        let at = |seconds| UNIX_EPOCH + clock::START + Duration::from_secs(seconds);
        let empty = Header::default();
        let day = 86_400;
        let first = base(&empty, at(day)).expect("a base");
        let second = base(&empty, at(day + 1)).expect("a base");
        assert_eq!(second - first, 4_096_000);
        let ahead = Header {
            revision: second + 5,
            ..Header::default()
        };
        assert_eq!(base(&ahead, at(day)).expect("a base"), second + 5);
    }

    #[test]
    fn repeated_base_is_rejected() {
        let year = 366 * 86_400;
        for now in [
            UNIX_EPOCH,
            UNIX_EPOCH + clock::START,
            UNIX_EPOCH + clock::START + Duration::from_secs(66 * year),
        ] {
            let rejected = base(&Header::default(), now).expect_err("refused");
            assert!(rejected.to_string().ends_with("set it"), "{rejected}");
        }
    }
}
