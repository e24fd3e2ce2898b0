//! The number of one committed change.

use std::fmt;
use std::num::NonZeroU64;

/// Number of a committed change, visible to clients as `metadata.resourceVersion`.
///
/// Revisions of one store strictly increase and are never reused. A store issues at most 2^53 - 1,
/// so that clients that hold them in a double compare them exactly; a client may send any uint64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(NonZeroU64);

impl Revision {
    /// The smallest revision: the first change of a store.
    pub const MIN: Self = Self(NonZeroU64::MIN);

    /// A revision; `None` for 0.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Whether stores of releases before 0.2 may have issued this revision and current stores never
    /// do. Those stores had the epoch above 40 bits of counter and numbered epochs by units of 120
    /// seconds since 2026; the range here ends in 2050, because a clock may have been ahead. Such a
    /// revision is expired, whereas kube-apiserver reports other revisions beyond its own as too
    /// large.
    #[must_use]
    pub const fn is_of_a_former_store(self) -> bool {
        const LAST_EPOCH: u64 = 25 * 366 * 720;
        self.is_too_large_for_a_store() && self.get() >> 40 <= LAST_EPOCH
    }

    /// Whether no store ever issues this revision.
    #[must_use]
    pub const fn is_too_large_for_a_store(self) -> bool {
        self.get() >= 1 << 53
    }

    /// The number, at least 1.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::Revision;

    #[test]
    fn zero_is_not_a_revision() {
        assert_eq!(Revision::new(0), None);
        assert_eq!(Revision::new(u64::MAX).map(Revision::get), Some(u64::MAX));
        assert_eq!(Revision::new(7).map(Revision::get), Some(7));
        assert!(Revision::new(9) < Revision::new(10));
    }

    #[test]
    fn revisions_beyond_2_53_are_of_former_stores_or_invalid() {
        for (number, former) in [
            (1, false),
            ((1 << 53) - 1, false),
            (1 << 53, true),
            (263_192_435_177_456_073, true),
            (7_000_000_000_000_000_000, true),
            (9_000_000_000_000_000_000, false),
            (i64::MAX as u64, false),
            (u64::MAX, false),
        ] {
            let revision = Revision::new(number).expect("a revision");
            assert_eq!(revision.is_of_a_former_store(), former, "{number}");
            let large = number >= 1 << 53;
            assert_eq!(revision.is_too_large_for_a_store(), large, "{number}");
        }
    }
}
