//! Indented JSON with two spaces per level, made from compact JSON.

use crate::weight::indentation_limit;

/// The compact document with two spaces of indentation per level and its fields in the same order.
/// Expects JSON as this crate writes it. Indentation stops where it would exceed 8 MiB and twice
/// the text: a list of a million items ten thousand levels deep would be 20 GB.
#[must_use]
pub fn indent(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 3 / 2);
    Indenter::default().feed(compact, &mut out);
    out
}

/// Indents a document that arrives in pieces, which may end anywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Indenter {
    depth: usize,
    /// Inside a string, and whether its last byte was a backslash.
    text: Option<bool>,
    /// A list or an object was opened, and nothing followed yet.
    opened: bool,
    /// Bytes of input, and bytes of indentation added so far.
    taken: usize,
    spaces: usize,
}

impl Indenter {
    /// Appends the indented form of the next piece.
    pub fn feed(&mut self, compact: &[u8], out: &mut Vec<u8>) {
        self.taken += compact.len();
        let mut rest = compact;
        while let Some(&byte) = rest.first() {
            if let Some(escaped) = self.text {
                let taken = self.text(rest, escaped);
                out.extend_from_slice(&rest[..taken]);
                rest = &rest[taken..];
                continue;
            }
            self.structure(byte, out);
            rest = &rest[1..];
        }
    }

    /// Consumes bytes of a string, up to its end or the end of the piece; returns their number.
    fn text(&mut self, rest: &[u8], escaped: bool) -> usize {
        if escaped {
            self.text = Some(false);
            return 1;
        }
        let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        match special {
            None => rest.len(),
            Some(at) => {
                self.text = (rest[at] == b'\\').then_some(true);
                at + 1
            }
        }
    }

    fn structure(&mut self, byte: u8, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.opened) {
            if matches!(byte, b'}' | b']') {
                out.push(byte);
                return;
            }
            self.depth += 1;
            self.new_line(out);
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                self.opened = true;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.new_line(out);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                self.new_line(out);
            }
            b':' => out.extend_from_slice(b": "),
            other => {
                self.text = (other == b'"').then_some(false);
                out.push(other);
            }
        }
    }

    fn new_line(&mut self, out: &mut Vec<u8>) {
        if self.spaces > indentation_limit(self.taken) {
            return;
        }
        self.spaces += self.depth * 2;
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', self.depth * 2));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Indenter, indent};
    use crate::weight::indentation_limit;
    use crate::{to_vec, to_vec_pretty};

    #[test]
    fn indent_of_pieces_equals_the_pretty_form() {
        let value = json!({"a": [1, "x\\\"],{", {}, [], [[]], {"k": null}], "b": {"c": "\\"}});
        let (compact, want) = (to_vec(&value), to_vec_pretty(&value));
        assert_eq!(
            String::from_utf8_lossy(&indent(&compact)),
            String::from_utf8_lossy(&want),
        );
        for size in 1..compact.len() {
            let (mut indenter, mut out) = (Indenter::default(), Vec::new());
            for piece in compact.chunks(size) {
                indenter.feed(piece, &mut out);
            }
            assert_eq!(out, want, "in pieces of {size}");
        }
    }

    #[test]
    fn indentation_stops_at_its_limit() {
        let (levels, items) = (2_000, 100_000);
        let inner = vec!["0"; items].join(",");
        let compact = format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels));
        let indented = indent(compact.as_bytes());
        assert!(indented.len() < 2 * indentation_limit(compact.len()));
        let text: Vec<u8> = indented
            .into_iter()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        assert_eq!(text, compact.into_bytes());
    }
}
