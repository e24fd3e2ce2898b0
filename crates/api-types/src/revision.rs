//! The number of one committed change.

use std::fmt;
use std::num::NonZeroU64;

/// Number of a committed change: what clients see as `metadata.resourceVersion`.
///
/// Revisions of one store never decrease and are never used twice. They fit into 63 bits, so that
/// clients that parse an int64 can read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(NonZeroU64);

impl Revision {
    /// The smallest revision: the first change of a store.
    pub const MIN: Self = Self(NonZeroU64::MIN);

    /// A revision, unless the number is 0 or above 2^63 - 1.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number > i64::MAX as u64 {
            return None;
        }
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number itself, at least 1 and at most 2^63 - 1.
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
    fn only_positive_int63_are_revisions() {
        assert_eq!(Revision::new(0), None);
        assert_eq!(Revision::new(1 << 63), None);
        assert_eq!(Revision::new(7).map(Revision::get), Some(7));
        assert!(Revision::new(9) < Revision::new(10));
    }
}
