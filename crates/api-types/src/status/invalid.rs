//! The errors of an invalid object in a Status: each text once in the message, and one cause per
//! error.

use std::collections::HashSet;

use super::Cause;
use crate::field::{self, Error};

/// Limit of the errors in a response, in bytes: the escaped texts of the message and of the causes.
/// kube-apiserver has no limit.
pub const MAX_ERROR_BYTES: usize = field::MAX_BYTES;

/// Limit of each text, in bytes, of a first error that alone exceeds [`MAX_ERROR_BYTES`]. Three
/// texts, each written twice and escaped sixfold at worst, are 1.1 MiB.
const MAX_TEXT_BYTES: usize = 32 << 10;

/// `{"reason":"FieldValueNotSupported","message":"","field":""},` and `, ` in the message.
const OVERHEAD: usize = 64;

/// Message and causes of the errors that fit.
pub(super) struct ShownErrors {
    /// `first` or `[first, second]`; empty for no error.
    pub(super) text: String,
    pub(super) causes: Vec<Cause>,
}

#[derive(Default)]
struct Collector {
    texts: Vec<String>,
    seen: HashSet<String>,
    causes: Vec<Cause>,
    bytes: usize,
}

impl ShownErrors {
    pub(super) fn of(errors: &[Error]) -> Self {
        let mut collector = Collector::default();
        for error in errors {
            if collector.add(error, MAX_ERROR_BYTES) {
                continue;
            }
            if collector.causes.is_empty() {
                collector.add(&error.clone().cut(MAX_TEXT_BYTES), usize::MAX);
                continue;
            }
            collector.add(&field::more(), usize::MAX);
            break;
        }
        let mut texts = collector.texts;
        let text = match texts.len() {
            0 | 1 => texts.pop().unwrap_or_default(),
            _ => format!("[{}]", texts.join(", ")),
        };
        Self {
            text,
            causes: collector.causes,
        }
    }
}

impl Collector {
    /// Adds an error if it fits; returns whether it did.
    fn add(&mut self, error: &Error, limit: usize) -> bool {
        let cause = Cause {
            reason: error.kind.reason().to_owned(),
            message: error.body(),
            field: error.field.clone(),
        };
        let text = format!("{}: {}", cause.field, cause.message);
        let size = escaped_length(&text);
        let repeated = self.seen.contains(&text);
        let bytes = self.bytes + OVERHEAD + if repeated { size } else { 2 * size };
        if bytes > limit {
            return false;
        }
        self.bytes = bytes;
        self.causes.push(cause);
        if !repeated {
            self.seen.insert(text.clone());
            self.texts.push(text);
        }
        true
    }
}

/// Upper bound of the length of a text in JSON as Go writes it.
fn escaped_length(text: &str) -> usize {
    let width = |byte| match byte {
        b'"' | b'\\' => 2,
        b'<' | b'>' | b'&' | 0..=0x1f => 6,
        _ => 1,
    };
    text.bytes().map(width).sum()
}
