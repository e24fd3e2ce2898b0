//! Paths of fields that nobody knows.

/// Bytes of paths that are kept. A body of 3 MiB that repeats nothing in its paths stays far below;
/// one whose 200,000 unknown fields are below a name of a megabyte would need 200 GB.
const MAX_BYTES: usize = 16 << 20;

/// Paths of unknown fields; those beyond 16 MiB of text are left out.
#[derive(Debug, Default)]
pub(crate) struct UnknownPaths {
    paths: Vec<String>,
    bytes: usize,
}

impl UnknownPaths {
    /// Adds what `path` makes, which is not asked when there is no room.
    pub(crate) fn add(&mut self, path: impl FnOnce() -> String) {
        if self.bytes >= MAX_BYTES {
            return;
        }
        let path = path();
        self.bytes += path.len() + size_of::<String>();
        self.paths.push(path);
    }

    /// In the order in which they were found.
    pub(crate) fn into_found(self) -> Vec<String> {
        self.paths
    }

    pub(crate) fn into_sorted(mut self) -> Vec<String> {
        self.paths.sort_unstable();
        self.paths
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use crate::coerce;

    #[test]
    fn paths_below_a_long_name_do_not_add_up() {
        let mut paths = super::UnknownPaths::default();
        for _ in 0..50_000 {
            paths.add(|| "n".repeat(1 << 20));
        }
        assert_eq!(paths.into_sorted().len(), 16);
    }

    #[test]
    fn ordinary_paths_are_all_kept() {
        let fields = (0..100_000).map(|number| (format!("f{number:06}"), json!(0)));
        let metadata: Map<String, Value> = fields.collect();
        let mut object = json!({"metadata": metadata});
        let unknown = coerce::root(&mut object, coerce::Mode::Strict).unwrap();
        assert_eq!(unknown.len(), 100_000);
        assert_eq!(unknown[7], "metadata.f000007");
    }
}
