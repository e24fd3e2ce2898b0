//! Patterns in Go's dialect (RE2), compiled once when a schema is loaded.

mod limits;
mod translate;

use regex::{Regex, RegexBuilder};

/// Limit of a compiled pattern, in bytes. Operators write definitions, but a mistake such as
/// `(.{1000}){1000}` must not exhaust the server's memory.
const MAX_COMPILED_BYTES: usize = 32 << 20;

/// Go's message for too many levels of parentheses. Go's limit is 1000, the engine's 250.
const TOO_DEEP: &str = "expression nests too deeply";

/// A compiled pattern with its source.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
    size: u64,
}

/// Why a text is not a pattern, with Go's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct PatternError(String);

impl Pattern {
    /// Compiles a pattern of Go's dialect.
    ///
    /// # Errors
    /// If Go rejects it, or if it is larger than 32 MiB when compiled.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let (translated, size) = translate::translate(text)?;
        let regex = RegexBuilder::new(&translated)
            .size_limit(MAX_COMPILED_BYTES)
            .build()
            .map_err(|error| PatternError(format!("{}: `{text}`", reason(&error))))?;
        Ok(Self {
            text: text.to_owned(),
            regex,
            size,
        })
    }

    /// The source of the pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Upper bound of the steps of a match: instructions of the pattern times bytes of the text.
    #[must_use]
    pub const fn steps(&self, text: &str) -> u64 {
        self.size.saturating_mul(text.len() as u64)
    }

    /// Whether the pattern matches anywhere in a text. Takes time linear in the text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// The engine's error in one line; its own text has several lines.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => String::from("expression too large"),
        other => {
            let text = other.to_string();
            if text.contains("maximum number of nested") {
                return TOO_DEEP.to_owned();
            }
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns_match_as_in_go() {
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
            (
                r"^(?:a{10}){2}(b{1000}|c{0}){1}$",
                "aaaaaaaaaaaaaaaaaaaa",
                "a",
            ),
            (r"^(a{0}){1000}$", "", "a"),
            (r"^((a?){10}){100}$", "aaa", "b"),
        ] {
            let compiled = Pattern::new(pattern).expect(pattern);
            if pattern != r"^\bé" {
                assert!(compiled.is_match(matching), "{pattern} {matching:?}");
            }
            assert!(!compiled.is_match(other), "{pattern} {other:?}");
        }
    }

    #[test]
    fn patterns_rejected_by_go_are_rejected() {
        for (pattern, want) in [
            ("[a", "missing closing ]: `[a`"),
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            ("(a{101}){10}", "invalid repeat count: `{10}`"),
            ("((a{10}){10}){11}?", "invalid repeat count: `{11}?`"),
            ("(x|(a{2,500})+b){3,}", "invalid repeat count: `{3,}`"),
            ("(?:(.{1000}){1000}){0}", "invalid repeat count: `{1000}`"),
            ("*?", "missing argument to repetition operator: `*?`"),
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

    /// Patterns that `limits.rs` rejects, and that the engine rejects as well with its own message.
    #[test]
    fn patterns_beyond_the_memory_limit_are_rejected() {
        let large = format!("({}){{1000}}", "(?:ab|c)".repeat(2_000));
        let deep = format!("{}a{}", "(".repeat(1_001), ")".repeat(1_001));
        let less_deep = format!("{}a{}", "(".repeat(300), ")".repeat(300));
        for (pattern, want) in [
            (large, "expression too large"),
            (deep, "expression nests too deeply"),
            (less_deep, "expression nests too deeply"),
        ] {
            let error = Pattern::new(&pattern).expect_err(&pattern).to_string();
            assert_eq!(error, format!("error parsing regexp: {want}: `{pattern}`"));
        }
    }
}
