//! Warnings for the client, sent as `Warning: 299 - "text"` headers.
//!
//! Rules (kube-apiserver's warning recorder): exact duplicates and texts that cannot be a header
//! are dropped; once all texts together reach 4096 characters every text is cut to 256 and
//! the list is sent only as far as 4096 characters go again.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

/// Characters of all warnings of one answer before texts are cut.
const TOTAL_CHARS: usize = 4096;
/// Characters kept of one warning once the total is reached.
const TRUNCATED_CHARS: usize = 256;
const WARNING: HeaderName = HeaderName::from_static("warning");

/// Collects the warnings of one request; clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Warnings {
    texts: Arc<Mutex<Vec<String>>>,
}

impl Warnings {
    /// An empty collector.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a warning unless the same text is already there.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        if text.is_empty() || text.chars().any(char::is_control) {
            return;
        }
        let mut texts = self.texts.lock();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }

    /// The texts so far, in the order they were added.
    pub fn texts(&self) -> Vec<String> {
        self.texts.lock().clone()
    }

    /// Appends one header per warning to `headers`.
    pub fn write_to(&self, headers: &mut HeaderMap) {
        let texts = self.texts.lock();
        if texts.is_empty() {
            return;
        }
        let total: usize = texts.iter().map(|text| text.chars().count()).sum();
        let mut left = TOTAL_CHARS;
        for text in texts.iter() {
            let kept = if total >= TOTAL_CHARS {
                cut(text, TRUNCATED_CHARS)
            } else {
                text
            };
            let Some(rest) = left.checked_sub(kept.chars().count()) else {
                return;
            };
            left = rest;
            if let Ok(value) = HeaderValue::from_bytes(quoted(kept).as_bytes()) {
                headers.append(WARNING, value);
            }
        }
    }
}

fn cut(text: &str, chars: usize) -> &str {
    text.char_indices()
        .nth(chars)
        .map_or(text, |(end, _)| &text[..end])
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
    fn long_lists_are_cut() {
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
