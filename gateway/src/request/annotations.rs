//! Audit annotations of a request: facts that steps record for its audit event.
//!
//! As in `k8s.io/apiserver/pkg/audit`, a key keeps its first value.

use std::sync::Arc;

use parking_lot::Mutex;

/// Bytes of all keys and values of one request. Webhooks choose both; kube-apiserver bounds them by
/// the size of a webhook's response only.
const MAX_BYTES: usize = 256 << 10;

/// Collects the audit annotations of one request; clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    recorded: Arc<Mutex<Recorded>>,
}

#[derive(Debug, Default)]
struct Recorded {
    /// In insertion order. Empty until the first, so that a request without any allocates nothing.
    pairs: Vec<(String, String)>,
    bytes: usize,
}

impl Annotations {
    /// An empty collector.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an annotation, unless the key exists or the limit is reached. Returns whether the list
    /// contains it.
    pub fn add(&self, key: impl Into<String>, value: impl Into<String>) -> bool {
        let (key, value) = (key.into(), value.into());
        let mut recorded = self.recorded.lock();
        // bounded: by `MAX_BYTES`, and by the calls of a request.
        if let Some((_, known)) = recorded.pairs.iter().find(|(known, _)| *known == key) {
            return *known == value;
        }
        let bytes = recorded.bytes + key.len() + value.len();
        if bytes > MAX_BYTES {
            return false;
        }
        recorded.bytes = bytes;
        recorded.pairs.push((key, value));
        true
    }

    /// Removes and returns the annotations, in insertion order.
    #[must_use]
    pub fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.recorded.lock()).pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_keeps_its_first_value() {
        let annotations = Annotations::new();
        assert!(annotations.add("a", "1"));
        assert!(annotations.add("a", "1"));
        assert!(!annotations.add("a", "2"));
        assert!(annotations.clone().add("b", "3"));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(annotations.take(), [pair("a", "1"), pair("b", "3")]);
        assert!(annotations.take().is_empty());
    }

    #[test]
    fn annotations_of_a_request_are_bounded() {
        let annotations = Annotations::new();
        assert!(annotations.add("k", "v".repeat(MAX_BYTES - 1)));
        assert!(!annotations.add("l", "v"));
        assert_eq!(annotations.take().len(), 1);
        assert!(annotations.add("l", "v"));
    }
}
