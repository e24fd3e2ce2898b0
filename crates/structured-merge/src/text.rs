//! Formatting of Go's `fmt`, which appears in messages and in the text of paths.

use std::fmt::Write as _;

use serde_json::Value;

use crate::value::{Num, number, sorted};

/// `%q`: the text in double quotes, with characters escaped that are not printable.
pub(crate) fn quote(text: &str, out: &mut String) {
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
            c if u32::from(c) < 0x80 => push(out, format_args!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) > 0xffff => push(out, format_args!("\\U{:08x}", u32::from(c))),
            c => push(out, format_args!("\\u{:04x}", u32::from(c))),
        }
    }
    out.push('"');
}

/// A float with the shortest digits and an exponent of at least two digits outside of `fixed`.
pub(crate) fn float(number: f64, fixed: std::ops::Range<f64>, out: &mut String) {
    let size = number.abs();
    if size == 0.0 || fixed.contains(&size) {
        push(out, format_args!("{number}"));
        return;
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(negative) => ('-', negative),
        None => ('+', exponent),
    };
    push(out, format_args!("{digits}e{sign}{exponent:0>2}"));
}

/// The range in which `%v` prints a float without an exponent.
const FIXED: std::ops::Range<f64> = 1e-4..1e6;

/// A value as a part of a path: `[k="a"]`.
// bounded: TypedValue and the reader of fieldsV1 limit the depth of values
pub(crate) fn in_path(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => push(out, format_args!("{flag}")),
        Value::Number(n) => go_number(number(n), out),
        Value::String(text) => quote(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                in_path(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            for (name, member) in sorted(members) {
                push(out, format_args!("{name}="));
                in_path(member, out);
            }
        }
    }
}

/// `%v` of a Go pointer to a value: `&{map[a:1]}`.
pub(crate) fn pointer(value: &Value) -> String {
    let mut out = String::from("&{");
    plain(value, &mut out);
    out.push('}');
    out
}

/// `%#v` of a Go pointer to a value.
pub(crate) fn pointer_syntax(value: &Value) -> String {
    let mut out = String::from("&value.valueUnstructured{Value:");
    syntax(value, &mut out);
    out.push('}');
    out
}

/// `%T` of a Go value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) => match number(n) {
            Num::Int(_) => "int64",
            Num::Float(_) => "float64",
        },
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `%v` of a Go value.
// bounded: TypedValue limits the depth of values
fn plain(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(flag) => push(out, format_args!("{flag}")),
        Value::Number(n) => go_number(number(n), out),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                plain(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push_str("map[");
            for (index, (name, member)) in sorted(members).into_iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                push(out, format_args!("{name}:"));
                plain(member, out);
            }
            out.push(']');
        }
    }
}

/// `%#v` of a Go value.
// bounded: TypedValue limits the depth of values
fn syntax(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("interface {}(nil)"),
        Value::Bool(_) | Value::Number(_) => plain(value, out),
        Value::String(text) => quote(text, out),
        Value::Array(items) => {
            out.push_str("[]interface {}{");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                syntax(item, out);
            }
            out.push('}');
        }
        Value::Object(members) => {
            out.push_str("map[string]interface {}{");
            for (index, (name, member)) in sorted(members).into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                quote(name, out);
                out.push(':');
                syntax(member, out);
            }
            out.push('}');
        }
    }
}

fn go_number(number: Num, out: &mut String) {
    match number {
        Num::Int(integer) => push(out, format_args!("{integer}")),
        Num::Float(value) => float(value, FIXED, out),
    }
}

/// Go's `strconv.IsPrint`, for characters beyond ASCII by the tables of the standard library.
fn is_print(c: char) -> bool {
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
    use serde_json::json;

    use super::{in_path, pointer, pointer_syntax};

    #[test]
    fn values_print_as_go_prints_them() {
        let value = json!({"b": [1, "x", null], "a": {"c": true}});
        assert_eq!(pointer(&value), "&{map[a:map[c:true] b:[1 x <nil>]]}");
        assert_eq!(
            pointer_syntax(&value),
            "&value.valueUnstructured{Value:map[string]interface {}{\"a\":map[string]interface \
             {}{\"c\":true}, \"b\":[]interface {}{1, \"x\", interface {}(nil)}}}"
        );
        let mut out = String::new();
        in_path(&value, &mut out);
        assert_eq!(out, "a=c=trueb=[1,\"x\",null]");
    }
}
