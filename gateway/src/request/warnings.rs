//! Warnings for the client, sent as `Warning: 299 - "text"` headers.
//!
//! Rules (`apiserver/pkg/endpoints/filters/warning.go`): exact duplicates, and texts that cannot be
//! a header, are dropped. When a text takes the total beyond 4096 characters, every text is cut to
//! 256, and texts are sent until 4096 characters are reached again; the others are dropped. This
//! bounds the memory of warnings per request.

use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

/// Characters of all warnings of one response before texts are cut.
const TOTAL_CHARS: usize = 4096;
/// Characters of one warning after the total is reached.
const TRUNCATED_CHARS: usize = 256;
const WARNING: HeaderName = HeaderName::from_static("warning");

/// Collects the warnings of one request; clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Warnings {
    recorded: Arc<Mutex<Recorded>>,
}

#[derive(Debug, Default)]
struct Recorded {
    /// In insertion order, as they will be sent.
    texts: Vec<String>,
    /// The uncut texts, to detect duplicates.
    uncut: HashSet<String>,
    chars: usize,
    truncating: bool,
}

impl Warnings {
    /// An empty collector.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a warning unless the same text exists.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() && !text.chars().any(char::is_control) {
            self.recorded.lock().add(text);
        }
    }

    /// Adds warnings until the limit is reached; the iterator is not advanced further.
    pub fn extend(&self, texts: impl IntoIterator<Item = String>) {
        let mut texts = texts.into_iter();
        while !self.recorded.lock().full() {
            let Some(text) = texts.next() else {
                return;
            };
            self.add(text);
        }
    }

    /// The current texts in insertion order, cut as they will be sent.
    pub fn texts(&self) -> Vec<String> {
        self.recorded.lock().texts.clone()
    }

    /// Appends one header per warning.
    pub fn write_to(&self, headers: &mut HeaderMap) {
        for text in &self.recorded.lock().texts {
            if let Ok(value) = HeaderValue::from_bytes(quoted(text).as_bytes()) {
                headers.append(WARNING, value);
            }
        }
    }
}

impl Recorded {
    fn full(&self) -> bool {
        self.truncating && self.chars >= TOTAL_CHARS
    }

    fn add(&mut self, text: String) {
        if self.full() || self.uncut.contains(&text) {
            return;
        }
        let chars = text.chars().count();
        if !self.truncating && self.chars + chars > TOTAL_CHARS {
            self.truncating = true;
            self.texts.iter_mut().for_each(truncate);
            self.chars = self.texts.iter().map(|text| text.chars().count()).sum();
        }
        let mut shortened = text.clone();
        if self.truncating {
            truncate(&mut shortened);
        }
        self.chars += shortened.chars().count();
        self.texts.push(shortened);
        self.uncut.insert(text);
    }
}

fn truncate(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TRUNCATED_CHARS) {
        text.truncate(end);
    }
}

fn quoted(text: &str) -> String {
    let mut value = String::with_capacity(text.len() + 10);
    value.push_str("299 - \"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            value.push('\\');
        }
        value.push(c);
    }
    value.push('"');
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(texts: &[String]) -> Vec<String> {
        let warnings = Warnings::new();
        texts.iter().for_each(|text| warnings.add(text.clone()));
        let mut headers = HeaderMap::new();
        warnings.write_to(&mut headers);
        let text = |v: &HeaderValue| String::from_utf8(v.as_bytes().to_vec()).unwrap();
        headers.get_all(WARNING).iter().map(text).collect()
    }

    #[test]
    fn quotes_are_escaped_and_duplicates_dropped() {
        let texts = [
            "unknown field \"spec.zz\"",
            "unknown field \"spec.zz\"",
            "a\\b",
            "x\ny",
        ];
        assert_eq!(
            sent(&texts.map(str::to_owned)),
            [r#"299 - "unknown field \"spec.zz\"""#, r#"299 - "a\\b""#]
        );
    }

    #[test]
    fn medium_warnings_stop_at_total_limit() {
        // 17 x 250 is the first sum beyond 4096.
        let texts: Vec<String> = (0..30)
            .map(|n| format!("{n:03}{}", "x".repeat(247)))
            .collect();
        assert_eq!(sent(&texts).len(), 17);
        let exact: Vec<String> = (0..16)
            .map(|n| format!("{n:03}{}", "x".repeat(253)))
            .collect();
        assert_eq!(sent(&exact).len(), 16);
    }

    #[test]
    fn unsent_warnings_are_not_built() {
        let warnings = Warnings::new();
        let mut built = 0;
        warnings.extend((0..1_000_000).map(|n| {
            built += 1;
            format!("unknown field {n}")
        }));
        assert!(built < TOTAL_CHARS, "{built}");
        warnings.add("one more");
        assert_eq!(warnings.texts().len(), built);
        assert_eq!(warnings.recorded.lock().uncut.len(), built);
    }

    #[test]
    fn long_warning_lists_are_truncated() {
        let texts: Vec<String> = (0..30)
            .map(|n| format!("{n:03}{}", "x".repeat(400)))
            .collect();
        let sent = sent(&texts);
        assert_eq!(sent.len(), TOTAL_CHARS / TRUNCATED_CHARS);
        assert!(
            sent.iter()
                .all(|s| s.len() == TRUNCATED_CHARS + "299 - \"\"".len())
        );
    }
}
