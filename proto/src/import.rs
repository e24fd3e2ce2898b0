//! Validation of imports, for drivers that reject and tools that check in advance.

use crate::limits::LAST_IMPORT;
use crate::v1::Header;

/// Returns the reason why a store with this header cannot be imported; `None` if it can.
///
/// A new epoch continues above the source's revision, so enough revisions must be left.
#[must_use]
pub fn rejection(source: &Header) -> Option<String> {
    let Header {
        epoch,
        revision,
        compact_revision,
        ..
    } = *source;
    if revision > LAST_IMPORT {
        return Some(too_large("the source"));
    }
    let in_order = 1 <= epoch && epoch <= compact_revision && compact_revision <= revision;
    let message = "the source's epoch, compact_revision and revision are not in that order";
    (!in_order).then(|| message.to_owned())
}

/// Returns the error for a revision above [`LAST_IMPORT`].
#[must_use]
pub fn too_large(what: &str) -> String {
    format!(
        "{what} has a revision above {LAST_IMPORT}: open the source with this release, which \
         renumbers stores of releases before 0.2, or restore its backup with arkctl, which assigns \
         new revisions"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn import_source_must_be_in_order_and_leave_room() {
        for (epoch, compact_revision, revision, fits) in [
            (1, 1, 1, true),
            (1, 5, LAST_IMPORT, true),
            (0, 1, 1, false),
            (2, 1, 3, false),
            (1, 4, 3, false),
            (1, 1, LAST_IMPORT + 1, false),
            (240_000, 240_000 << 40, 240_000 << 40, false),
        ] {
            let source = Header {
                store_id: "a".to_owned(),
                epoch,
                revision,
                compact_revision,
            };
            assert_eq!(rejection(&source).is_none(), fits, "{source:?}");
        }
    }
}
