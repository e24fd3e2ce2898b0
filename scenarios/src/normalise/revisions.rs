//! Ranks of resourceVersions.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;
use serde_json::Value;

/// The resourceVersions of all objects in the scenario's responses.
#[derive(Clone, Debug, Default)]
pub(super) struct Revisions(BTreeSet<u64>);

/// An object's resourceVersion in YAML, JSON or `kubectl describe`.
pub(super) static WRITTEN: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant")]
    Regex::new(r#"((?:resourceVersion"?|Resource Version):\s*"?)(\d+)"#).expect("a valid pattern")
});

/// The resourceVersion of a collection or a bookmark, in YAML or JSON: the first field of its
/// metadata except a continue token and a count, which objects do not have.
pub(super) static COLLECTION: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant")]
    Regex::new(
        r#"(metadata"?:\s*\{?\s*(?:"?continue"?:\s*"[^"]*",?\s*)?(?:"?remainingItemCount"?:\s*\d+,?\s*)?"?resourceVersion"?:\s*"?)(\d+)"#,
    )
    .expect("a valid pattern")
});

impl Revisions {
    /// Adds the version of an object.
    pub(super) fn add(&mut self, text: &str) {
        self.0.extend(text.parse::<u64>().ok());
    }

    /// Adds the versions that occur in a text.
    pub(super) fn collect_text(&mut self, text: &str) {
        let text = COLLECTION.replace_all(text, "$1");
        for found in WRITTEN.captures_iter(&text) {
            self.add(&found[2]);
        }
    }

    /// The rank of an object's version; `None` if no object had it.
    pub(super) fn object(&self, text: &str) -> Option<String> {
        let version = text
            .parse()
            .ok()
            .filter(|version| self.0.contains(version))?;
        Some(format!("<rv {}>", self.0.range(..=version).count()))
    }

    /// The newest object version that the version of a collection covers.
    pub(super) fn collection(&self, version: u64) -> String {
        format!("<at rv {}>", self.0.range(..=version).count())
    }

    /// A continue token by its content.
    pub(super) fn token(&self, token: &str) -> Option<String> {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(token)
            .ok()?;
        let mut content: Value = serde_json::from_slice(&bytes).ok()?;
        if let Some(version) = content["rv"].as_u64() {
            content["rv"] = self.collection(version).into();
        }
        // Servers write the key with or without a leading slash.
        let start = content["start"]
            .as_str()?
            .trim_start_matches('/')
            .to_owned();
        content["start"] = start.into();
        Some(format!("<continue {content}>"))
    }
}
