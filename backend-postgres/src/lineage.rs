//! The cluster and the timeline of a server. Of two servers of one cluster that accept writes, the
//! one on the earlier timeline has been deposed: its commits will be lost.

/// Cluster and timeline of a server that accepts writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// System identifier of the cluster.
    pub(crate) system: String,
    /// Eight hexadecimal digits.
    pub(crate) timeline: String,
}

impl Lineage {
    /// Whether a server of the same cluster is on a later timeline. Clusters are not comparable: a
    /// dump may have been loaded into a younger one.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        self.system == other.system && self.timeline < other.timeline
    }
}

#[cfg(test)]
mod tests {
    use super::Lineage;

    #[test]
    fn timelines_compare_within_one_cluster() {
        let lineage = |system: &str, timeline: &str| Lineage {
            system: system.to_owned(),
            timeline: timeline.to_owned(),
        };
        assert!(lineage("a", "00000009").is_before(&lineage("a", "0000000A")));
        assert!(!lineage("a", "00000002").is_before(&lineage("a", "00000002")));
        assert!(!lineage("a", "00000003").is_before(&lineage("a", "00000002")));
        assert!(!lineage("a", "00000001").is_before(&lineage("b", "00000002")));
    }
}
