//! Writes YAML: block style, two spaces, lists not indented below their key.

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use crate::weight::indentation_limit;
use crate::{Weight, to_vec};

use super::plain::{is_break, is_plain, is_special, is_typed};

/// Column after which a text continues in the next line, as in go-yaml.
const WIDTH: usize = 80;

/// Column from which flow style is used in documents whose indentation would exceed the limit.
const FLOW: usize = 16;

/// The document of a value, with a newline at its end.
///
/// The document is in block style if the indentation stays within 8 MiB and twice the text;
/// otherwise all but the first levels are JSON, which YAML permits as flow style.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let heavy = spaces(value, 0) > indentation_limit(Weight::of(value).text);
    let mut emitter = Emitter {
        out: String::with_capacity(512),
        line: 0,
        flow: if heavy { FLOW } else { usize::MAX },
    };
    emitter.value(value, 0);
    emitter.out.push('\n');
    emitter.out
}

struct Emitter {
    out: String,
    /// Position of the start of the current line.
    line: usize,
    /// Column from which containers are in flow style.
    flow: usize,
}

/// Upper bound of the spaces of indentation in block style. Within texts, every space may become a
/// line break.
fn spaces(value: &Value, indent: usize) -> usize {
    // The first item continues the line of its container.
    let line = |index: usize| if index > 0 { indent } else { 0 };
    match value {
        Value::Object(fields) => {
            let below = |value: &Value| match value {
                Value::Object(_) => indent + 2 + spaces(value, indent + 2),
                Value::Array(_) => indent + spaces(value, indent),
                scalar => spaces(scalar, indent + 2),
            };
            let fields = fields.values().enumerate();
            fields
                .map(|(index, value)| line(index) + below(value))
                .sum()
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let item = |(index, item)| line(index) + spaces(item, indent + 2);
            items.map(item).sum()
        }
        Value::String(text) => {
            let breaks = text.bytes().filter(|byte| matches!(byte, b' ' | b'\n'));
            breaks.count() * indent
        }
        _ => 0,
    }
}

impl Emitter {
    /// A value whose first line starts at the current column and whose other lines have `indent`
    /// spaces.
    fn value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(_) | Value::Array(_) if indent > self.flow => self.json(value),
            Value::Object(fields) if !fields.is_empty() => self.object(fields, indent),
            Value::Array(items) if !items.is_empty() => self.array(items, indent),
            Value::Object(_) => self.out.push_str("{}"),
            Value::Array(_) => self.out.push_str("[]"),
            Value::Null => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Number(value) => self.out.push_str(&number(value)),
            Value::String(text) => self.string(text, indent, false),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, indent: usize) {
        let mut sorted: Vec<_> = fields.iter().collect();
        sorted.sort_by(|a, b| compare_keys(a.0, b.0));
        for (index, (key, value)) in sorted.into_iter().enumerate() {
            if index > 0 {
                self.new_line(indent);
            }
            self.string(key, indent, true);
            self.out.push(':');
            match value {
                Value::Object(_) | Value::Array(_) if indent > self.flow => {
                    self.out.push(' ');
                    self.json(value);
                }
                Value::Object(fields) if !fields.is_empty() => {
                    self.new_line(indent + 2);
                    self.object(fields, indent + 2);
                }
                Value::Array(items) if !items.is_empty() => {
                    self.new_line(indent);
                    self.array(items, indent);
                }
                other => {
                    self.out.push(' ');
                    self.value(other, indent + 2);
                }
            }
        }
    }

    fn array(&mut self, items: &[Value], indent: usize) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.new_line(indent);
            }
            self.out.push_str("- ");
            self.value(item, indent + 2);
        }
    }

    /// Flow style, in one line.
    fn json(&mut self, value: &Value) {
        self.out.push_str(&String::from_utf8_lossy(&to_vec(value)));
    }

    fn string(&mut self, text: &str, indent: usize, key: bool) {
        let special = text.chars().any(is_special);
        let lines = text.contains('\n');
        // Only a quoted text preserves a space before a line break.
        let quoted = special || is_typed(text) || (lines && (key || loses_space(text)));
        if quoted {
            self.double_quoted(text, indent, key);
        } else if lines {
            self.literal(text, indent);
        } else if is_plain(text) {
            self.folded(text, indent, key);
        } else {
            self.out.push('\'');
            self.folded(&text.replace('\'', "''"), indent, key);
            self.out.push('\'');
        }
    }

    /// The text with line breaks in place of single spaces after column [`WIDTH`].
    fn folded(&mut self, text: &str, indent: usize, key: bool) {
        let mut chars = text.chars().peekable();
        let mut before = ' ';
        while let Some(c) = chars.next() {
            let inside = chars.peek().is_some_and(|&next| next != ' ');
            if c == ' ' && before != ' ' && inside && !key && self.column() > WIDTH {
                self.new_line(indent);
            } else {
                self.out.push(c);
            }
            before = c;
        }
    }

    fn double_quoted(&mut self, text: &str, indent: usize, key: bool) {
        self.out.push('"');
        let mut before = '"';
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\0' => self.out.push_str("\\0"),
                '\u{7}' => self.out.push_str("\\a"),
                '\u{8}' => self.out.push_str("\\b"),
                '\t' => self.out.push_str("\\t"),
                '\n' => self.out.push_str("\\n"),
                '\u{b}' => self.out.push_str("\\v"),
                '\u{c}' => self.out.push_str("\\f"),
                '\r' => self.out.push_str("\\r"),
                '\u{1b}' => self.out.push_str("\\e"),
                '\u{85}' => self.out.push_str("\\N"),
                '\u{2028}' => self.out.push_str("\\L"),
                '\u{2029}' => self.out.push_str("\\P"),
                ' ' if before != ' ' && !key && self.column() > WIDTH && chars.peek().is_some() => {
                    self.new_line(indent);
                    if chars.peek() == Some(&' ') {
                        self.out.push('\\');
                    }
                }
                c if is_special(c) => self.escape(u32::from(c)),
                c => self.out.push(c),
            }
            before = c;
        }
        self.out.push('"');
    }

    fn escape(&mut self, number: u32) {
        let outcome = match number {
            0..=0xff => write!(self.out, "\\x{number:02X}"),
            0x100..=0xffff => write!(self.out, "\\u{number:04X}"),
            _ => write!(self.out, "\\U{number:08X}"),
        };
        debug_assert!(outcome.is_ok(), "a String takes every character");
    }

    /// `|` and the lines below it.
    fn literal(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        if text.starts_with([' ', '\n']) {
            self.out.push('2');
        }
        let body = text.strip_suffix('\n');
        match body {
            None => self.out.push('-'),
            Some(body) if body.is_empty() || body.ends_with('\n') => self.out.push('+'),
            Some(_) => {}
        }
        for line in body.unwrap_or(text).split('\n') {
            self.new_line(if line.is_empty() { 0 } else { indent.max(2) });
            self.out.push_str(line);
        }
        // The loop has already started the line of a trailing break.
    }

    fn new_line(&mut self, indent: usize) {
        self.out.push('\n');
        self.line = self.out.len();
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    fn column(&self) -> usize {
        self.out[self.line..].chars().count()
    }
}

fn loses_space(text: &str) -> bool {
    text.contains(" \n") || text.ends_with(' ') || text.contains(|c| c != '\n' && is_break(c))
}

fn number(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        return number.to_string();
    };
    let size = float.abs();
    let whole = float.fract() == 0.0 && size < 18_446_744_073_709_551_616.0;
    if whole || (1e-4..1e6).contains(&size) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}e-{exponent:0>2}"),
        None => format!("{digits}e+{exponent:0>2}"),
    }
}

/// Key order of go-yaml: letters after all other characters, runs of digits by their number.
fn compare_keys(a: &str, b: &str) -> Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = (0..left.len().min(right.len())).find(|&at| left[at] != right[at]) else {
        return left.len().cmp(&right.len());
    };
    match (left[at].is_alphabetic(), right[at].is_alphabetic()) {
        (true, true) => return left[at].cmp(&right[at]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let run = |chars: &[char]| {
        let digits: Vec<u64> = chars[at..]
            .iter()
            .map_while(|c| c.to_digit(10).map(u64::from))
            .collect();
        let number = digits
            .iter()
            .fold(leading(&left, &right, at), |sum, digit| {
                sum.wrapping_mul(10).wrapping_add(*digit)
            });
        (number, digits.len())
    };
    run(&left).cmp(&run(&right)).then(left[at].cmp(&right[at]))
}

/// 1 if digits other than 0 precede a difference that involves a 0.
fn leading(left: &[char], right: &[char], at: usize) -> u64 {
    let zero = left[at] == '0' || right[at] == '0';
    let digits = left[..at].iter().rev().take_while(|c| c.is_ascii_digit());
    u64::from(zero && digits.into_iter().any(|&c| c != '0'))
}
