//! Formatting of Go's `fmt`, which Kubernetes uses in its messages.

use std::fmt::Write as _;

/// `%q`: the text in double quotes, with characters escaped that are not printable.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if is_print(c) => out.push(c),
            c if u32::from(c) < 0x80 => push(&mut out, format_args!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) > 0xffff => push(&mut out, format_args!("\\U{:08x}", u32::from(c))),
            c => push(&mut out, format_args!("\\u{:04x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// `%#v` of a slice of strings: `[]string{"a", "b"}`.
#[must_use]
pub fn string_slice<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = texts.map(quote).collect();
    format!("[]string{{{}}}", quoted.join(", "))
}

/// The text truncated to `bytes` bytes, with the number of omitted bytes. For texts that quote a
/// client's input, which may have megabytes.
#[must_use]
pub fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let end = text.floor_char_boundary(bytes);
        let missing = text.len() - end;
        text.truncate(end);
        push(&mut text, format_args!("... ({missing} bytes more)"));
    }
    text
}

/// `%v` of a float64: shortest digits, an exponent below 1e-4 and from 1e6 on.
#[must_use]
pub fn float(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-4..1e6).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(negative) => ('-', negative),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Go's `strconv.ParseBool`.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
#[must_use]
pub fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    // The standard library escapes a combining mark only at the start of a text, hence the space
    // before it.
    let mut buffer = [b' '; 5];
    let length = c.encode_utf8(&mut buffer[1..]).len();
    match std::str::from_utf8(&buffer[..=length]) {
        Ok(text) => text.escape_debug().count() == 2,
        Err(_) => false,
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let outcome = out.write_fmt(text);
    debug_assert!(outcome.is_ok(), "a String takes every character");
}

#[cfg(test)]
mod tests {
    use super::{cut, float, quote};

    #[test]
    fn quote_equals_strconv() {
        assert_eq!(
            quote(
                "a\u{8}\u{c}\n\u{b}\u{7}\0\u{7f}\u{301}\u{a0}é\u{200b}\u{fffd}😀\u{e0001}\u{feff}\"\\"
            ),
            "\"a\\b\\f\\n\\v\\a\\x00\\x7f\u{301}\\u00a0é\\u200b\u{fffd}😀\\U000e0001\\ufeff\\\"\\\\\""
        );
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("abc".to_owned(), 3), "abc");
        assert_eq!(cut("aéb".to_owned(), 2), "a... (3 bytes more)");
    }

    #[test]
    fn floats_print_as_go_percent_v() {
        for (number, want) in [
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (999_999.5, "999999.5"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (3.0, "3"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(float(number), want);
        }
    }
}
