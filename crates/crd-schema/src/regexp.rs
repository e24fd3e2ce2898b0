//! Patterns in Go's dialect (RE2), compiled once, when a schema is loaded.

mod translate;

use regex::{Regex, RegexBuilder};

/// Most bytes a compiled pattern may take. A definition is an operator's text, yet a slip such as
/// `(.{1000}){1000}` must not take the server's memory.
const MAX_COMPILED_BYTES: usize = 32 << 20;

/// A compiled pattern together with its text.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

/// Why a text is no pattern, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct PatternError(String);

impl Pattern {
    /// Compiles a pattern of Go's dialect.
    ///
    /// # Errors
    /// If Go would refuse it, or if it is larger than 32 MiB when compiled.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let translated = translate::translate(text)?;
        let regex = RegexBuilder::new(&translated)
            .size_limit(MAX_COMPILED_BYTES)
            .build()
            .map_err(|error| PatternError(format!("{}: `{text}`", reason(&error))))?;
        Ok(Self {
            text: text.to_owned(),
            regex,
        })
    }

    /// The text it was made from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern is found anywhere in a text. Takes time linear in the text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// The engine's refusal in a few words; its own text has several lines.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => String::from("expression too large"),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn means_what_it_means_in_go() {
        for (pattern, matching, other) in [
            (r"^\d$", "5", "٣"),
            (r"^\w+$", "a_1", "é"),
            (r"^[\w.-]+$", "a.b-c", "é"),
            (r"^[^\W]$", "a", "-"),
            (r"^\s$", "\t", "\u{a0}"),
            (r"^\bé", "\0", "é"),
            (r"^[[]$", "[", "]"),
            (r"^[a&&b]+$", "&a", "~"),
            (r"^a{,2}$", "a{,2}", "aa"),
            (r"^{$", "{", "a"),
            (r"^a{2,3}$", "aaa", "a"),
            (r"^\Qa.b\E$", "a.b", "axb"),
            (r"^\07$", "\u{7}", "7"),
            (r"^\<$", "<", "a"),
            (r"^\x41\x{42}$", "AB", "ab"),
            (r"(?i)^ab$", "AB", "abc"),
            (r"^(?P<x>a)(?:b)$", "ab", "a"),
            (r"^[[:alpha:]_]+$", "a_", "1"),
            (r"^\p{Greek}$", "α", "a"),
            (r"^.$", "é", "\n"),
            (r"^[]a]$", "]", "b"),
            (r"^[^\n]$", "a", "\n"),
            (r"a#b c", "a#b c", "ab"),
            (r"^[a-c-]+$", "b-", "d"),
        ] {
            let compiled = Pattern::new(pattern).expect(pattern);
            if pattern != r"^\bé" {
                assert!(compiled.is_match(matching), "{pattern} {matching:?}");
            }
            assert!(!compiled.is_match(other), "{pattern} {other:?}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for (pattern, want) in [
            ("[a", "missing closing ]: `[a`"),
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            (r"\y", r"invalid escape sequence: `\y`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            ("a\\", "trailing backslash at end of expression: ``"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("[b-a]", "invalid character class range: `b-a`"),
            (r"\u0041", r"invalid escape sequence: `\u`"),
        ] {
            let error = Pattern::new(pattern).expect_err(pattern).to_string();
            assert_eq!(error, format!("error parsing regexp: {want}"), "{pattern}");
        }
    }
}
