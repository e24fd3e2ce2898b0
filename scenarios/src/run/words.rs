//! Splits a command line into words.

use anyhow::{Result, bail};

/// Splits as a shell does: whitespace separates, single quotes keep everything, double quotes keep
/// everything except backslash escapes of `"` and `\`.
///
/// # Errors
/// If a quote is not closed.
pub fn split(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), close) if open == close => quote = None,
            (Some('"'), '\\') if matches!(letters.peek(), Some('"' | '\\')) => {
                word.get_or_insert_default().extend(letters.next());
            }
            (Some(_), other) => word.get_or_insert_default().push(other),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (None, other) => word.get_or_insert_default().push(other),
        }
    }
    if quote.is_some() {
        bail!("unclosed quote in: {line}");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_split_as_in_a_shell() {
        let check = |line: &str, words: &[&str]| assert_eq!(super::split(line).unwrap(), words);
        check("get widgets  -o wide", &["get", "widgets", "-o", "wide"]);
        check(r#"-p '{"a": 1}' x"#, &["-p", r#"{"a": 1}"#, "x"]);
        check(r#""a \"b\" \\ \n" ''"#, &[r#"a "b" \ \n"#, ""]);
        check("-o=jsonpath='{.a b}'c", &["-o=jsonpath={.a b}c"]);
        assert!(super::split("a 'b").is_err());
    }
}
