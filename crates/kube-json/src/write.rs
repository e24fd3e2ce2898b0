//! JSON as Go's `encoding/json` writes it.
//!
//! Object keys are sorted by bytes (the map is a `BTreeMap`); `<`, `>`, `&`, U+2028 and U+2029 are
//! escaped so that the text is safe inside HTML; floats have Go's shortest form.

use std::io::Write as _;

use serde_json::{Number, Value};

/// The compact form, without a trailing newline.
#[must_use]
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

/// The form with two spaces of indentation per level, without a trailing newline.
#[must_use]
pub fn to_vec_pretty(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write_pretty(value, 0, &mut out);
    out
}

/// Appends the compact form.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            out.push(b'{');
            for (index, (key, item)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(item, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends one string with its quotes.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut clean = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let width = match byte {
            b'"' | b'\\' | b'<' | b'>' | b'&' | 0..=0x1f => 1,
            // U+2028 and U+2029 are E2 80 A8 and E2 80 A9 in UTF-8.
            0xe2 if matches!(bytes[at + 1..], [0x80, 0xa8 | 0xa9, ..]) => 3,
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[clean..at]);
        if width == 3 {
            out.extend_from_slice(if bytes[at + 2] == 0xa8 {
                b"\\u2028"
            } else {
                b"\\u2029"
            });
        } else {
            write_escape(byte, out);
        }
        at += width;
        clean = at;
    }
    out.extend_from_slice(&bytes[clean..]);
    out.push(b'"');
}

/// Appends a float as `encoding/json` does: with an exponent below 1e-6 and from 1e21.
///
/// Negative zero loses its sign. Go writes `-0`, but kube-apiserver decodes what it stores before it
/// responds, and then `-0` is the integer 0.
pub fn write_float(number: f64, out: &mut Vec<u8>) {
    let number = if number == 0.0 { 0.0 } else { number };
    let size = number.abs();
    let outcome = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                write!(out, "{digits}e+{exponent}")
            }
            _ => write!(out, "{text}"),
        }
    } else {
        write!(out, "{number}")
    };
    debug_assert!(outcome.is_ok(), "a Vec takes every byte");
}

fn write_pretty(value: &Value, depth: usize, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                new_line(index > 0, depth + 1, out);
                write_pretty(item, depth + 1, out);
            }
            new_line(false, depth, out);
            out.push(b']');
        }
        Value::Object(fields) if !fields.is_empty() => {
            out.push(b'{');
            for (index, (key, item)) in fields.iter().enumerate() {
                new_line(index > 0, depth + 1, out);
                write_string(key, out);
                out.extend_from_slice(b": ");
                write_pretty(item, depth + 1, out);
            }
            new_line(false, depth, out);
            out.push(b'}');
        }
        scalar_or_empty => write(scalar_or_empty, out),
    }
}

fn new_line(comma: bool, depth: usize, out: &mut Vec<u8>) {
    if comma {
        out.push(b',');
    }
    out.push(b'\n');
    for _ in 0..depth {
        out.extend_from_slice(b"  ");
    }
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    let mut itoa = |text: std::fmt::Arguments<'_>| {
        let outcome = out.write_fmt(text);
        debug_assert!(outcome.is_ok(), "a Vec takes every byte");
    };
    if let Some(integer) = number.as_i64() {
        itoa(format_args!("{integer}"));
    } else if let Some(integer) = number.as_u64() {
        itoa(format_args!("{integer}"));
    } else if let Some(float) = number.as_f64() {
        write_float(float, out);
    }
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        other => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(other >> 4)]);
            out.push(HEX[usize::from(other & 0xf)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{to_vec, to_vec_pretty};

    fn check(value: &serde_json::Value, want: &str) {
        assert_eq!(String::from_utf8_lossy(&to_vec(value)), want);
    }

    #[test]
    fn floats_take_go_form() {
        for (number, want) in [
            (1e6, "1000000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e21, "1.5e+21"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.25e-9, "1.25e-9"),
            (-2.5, "-2.5"),
            (-0.0, "0"),
            (12_345_678_901_234_567_890.0, "12345678901234567000"),
        ] {
            check(&json!(number), want);
        }
    }

    #[test]
    fn strings_are_safe_in_html() {
        check(
            &json!("\u{8}\u{c}\n\r\t\0\u{7f}<>&\u{2028}\u{2029}é\"\\"),
            "\"\\b\\f\\n\\r\\t\\u0000\u{7f}\\u003c\\u003e\\u0026\\u2028\\u2029é\\\"\\\\\"",
        );
        check(&json!("\u{2027}\u{202a}"), "\"\u{2027}\u{202a}\"");
    }

    #[test]
    fn compact_form_has_sorted_keys_and_no_spaces() {
        check(
            &json!({"b": [1, null, true], "a": {}, "B": i64::MIN}),
            r#"{"B":-9223372036854775808,"a":{},"b":[1,null,true]}"#,
        );
    }

    #[test]
    fn pretty_indents_by_two() {
        assert_eq!(
            String::from_utf8_lossy(&to_vec_pretty(&json!({"a": [1, {"b": []}], "c": {}}))),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {}\n}"
        );
    }
}
