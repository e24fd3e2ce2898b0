//! Paths of fields that are not in a schema.

use std::collections::BinaryHeap;
use std::fmt::Write as _;

use api_types::go_text;

/// Limit of the paths of one object, in bytes. kube-apiserver has no limit; a megabyte of fields
/// below one long name would give many gigabytes of paths.
const MAX_BYTES: usize = 256 << 10;

/// Limit of one path, in bytes.
const MAX_PATH_BYTES: usize = 4 << 10;

/// Bytes that count for a path in addition to its text.
const OVERHEAD: usize = 16;

/// The first paths in sort order, as many as fit.
#[derive(Debug, Default)]
pub(crate) struct Unknown {
    /// The greatest path on top.
    paths: BinaryHeap<String>,
    bytes: usize,
    /// Empty texts that were filled in for missing fields of metadata so far.
    pub(crate) filled: usize,
}

impl Unknown {
    /// Adds a field of a parent.
    pub(crate) fn field(&mut self, parent: &str, key: &str) {
        let fits = parent.len() + key.len() < MAX_PATH_BYTES;
        let parts = match (parent, key) {
            ("", key) => [key, "", ""],
            (parent, key) => [parent, ".", key],
        };
        if fits {
            return self.add(parts.concat());
        }
        let mut text = String::with_capacity(MAX_PATH_BYTES + 32);
        let mut missing = 0;
        for part in parts {
            let end = part.floor_char_boundary(MAX_PATH_BYTES.saturating_sub(text.len()));
            text.push_str(&part[..end]);
            missing += part.len() - end;
        }
        // Writing to a String does not fail.
        let _ = write!(text, "... ({missing} bytes more)");
        self.add(text);
    }

    /// Adds a path, then drops the greatest paths that do not fit.
    pub(crate) fn add(&mut self, path: String) {
        let path = go_text::cut(path, 2 * MAX_PATH_BYTES);
        self.bytes += path.len() + OVERHEAD;
        self.paths.push(path);
        while self.bytes > MAX_BYTES
            && let Some(last) = self.paths.pop()
        {
            self.bytes -= last.len() + OVERHEAD;
        }
    }

    /// The paths in order.
    pub(crate) fn into_sorted(self) -> Vec<String> {
        self.paths.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, Unknown};

    #[test]
    fn first_paths_in_order_are_kept() {
        let mut unknown = Unknown::default();
        for index in (0..200_000).rev() {
            unknown.field("spec", &format!("f{index:06}"));
        }
        let paths = unknown.into_sorted();
        assert_eq!(paths[0], "spec.f000000");
        assert_eq!(paths[1000], "spec.f001000");
        assert!(paths.len() < MAX_BYTES / "spec.f000000".len());
    }

    #[test]
    fn long_paths_are_truncated() {
        let mut unknown = Unknown::default();
        let parent = "é".repeat(500_000);
        for index in 0..10_000 {
            unknown.field(&parent, &index.to_string());
        }
        let paths = unknown.into_sorted();
        assert!(!paths.is_empty());
        assert!(paths.iter().map(String::len).sum::<usize>() <= MAX_BYTES);
        assert!(paths[0].ends_with("bytes more)"), "{}", paths[0]);
    }
}
