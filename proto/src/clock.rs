//! The clock for new epochs and revisions, docs/adr/0013-revisions-below-2-53.md.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Start of the clock, 2026-01-01T00:00:00Z.
pub const START: Duration = Duration::from_secs(1_767_225_600);

/// Revisions per millisecond of the clock. No store commits that many, so revisions never overtake
/// the clock, and later epochs get greater numbers.
pub const REVISIONS_PER_MILLI: i64 = 1 << 12;

/// Last millisecond of the clock: 2091-01-01T00:00:00Z, 65 years after [`START`].
const END_MILLIS: i64 = 2_051_222_400_000;

/// Value of [`revision_at`] for all times from 2091 on.
pub const LAST: i64 = END_MILLIS * REVISIONS_PER_MILLI;

/// Returns the revision of a time: at least 1, the value for all times up to 2026, and at most
/// [`LAST`].
#[must_use]
pub fn revision_at(now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = since.saturating_sub(START).as_millis();
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    (millis.min(END_MILLIS) * REVISIONS_PER_MILLI).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revision_at_increases_from_2026_to_2091() {
        let at = |millis| revision_at(UNIX_EPOCH + START + Duration::from_millis(millis));
        assert_eq!(revision_at(UNIX_EPOCH), 1);
        assert_eq!((at(0), at(1), at(2)), (1, 4096, 8192));
        let last = u64::try_from(END_MILLIS).expect("fits");
        assert_eq!(at(last - 1), LAST - REVISIONS_PER_MILLI);
        assert_eq!((at(last), at(last * 9)), (LAST, LAST));
        const { assert!(LAST < crate::limits::LAST_IMPORT) };
    }
}
