//! Writing of `fieldsV1`.

use serde_json::{Map, Value};

use crate::element::PathElement;
use crate::set::{Builder, FieldSet, Node};
use crate::text;
use crate::value::{Num, number, sorted};

/// The range of floats that are written without an exponent.
const FIXED: std::ops::Range<f64> = 1e-6..1e21;

/// Which characters are escaped in a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// Those that JSON requires.
    Required,
    /// Also those that are special in HTML and JavaScript.
    Html,
}

pub(super) fn set(set: &FieldSet) -> String {
    let set = &keyed(set);
    let nodes = set.nodes();
    let mut out = String::with_capacity(2 + 24 * nodes.len());
    out.push('{');
    // Depth of the objects that are open below the root.
    let mut depth = 0;
    let mut first = true;
    let mut key = String::new();
    for node in nodes {
        while depth > node.depth() {
            out.push('}');
            depth -= 1;
        }
        if !first {
            out.push(',');
        }
        key.clear();
        element(&node.element, &mut key);
        string(&key, Escape::Required, &mut out);
        out.push_str(":{");
        first = node.has_children();
        if !first {
            out.push('}');
            continue;
        }
        depth += 1;
        if node.is_member() {
            out.push_str("\".\":{}");
            first = false;
        }
    }
    out.extend(std::iter::repeat_n('}', depth + 1));
    out
}

pub(super) fn tree(set: &FieldSet) -> Value {
    let mut open: Vec<(String, Map<String, Value>)> = Vec::new();
    let mut root = Map::new();
    for node in keyed(set).nodes() {
        while open.len() > node.depth() {
            close(&mut open, &mut root);
        }
        open.push((node.element.to_serialized(), below(node)));
    }
    while !open.is_empty() {
        close(&mut open, &mut root);
    }
    Value::Object(root)
}

/// The set without the items that have no key.
fn keyed(set: &FieldSet) -> FieldSet {
    let is_keyed = |node: &Node| !matches!(node.element, PathElement::Unkeyed);
    let mut nodes = set.nodes();
    if nodes.iter().all(is_keyed) {
        return set.clone();
    }
    let mut out = Builder::default();
    while let Some(node) = nodes.first() {
        if is_keyed(node) {
            out.push(node.depth(), node.element.clone(), node.is_member());
            nodes = &nodes[1..];
        } else {
            nodes = &nodes[node.span()..];
        }
    }
    out.finish()
}

fn below(node: &Node) -> Map<String, Value> {
    let mut members = Map::new();
    if node.is_member() && node.has_children() {
        members.insert(String::from("."), Value::Object(Map::new()));
    }
    members
}

fn close(open: &mut Vec<(String, Map<String, Value>)>, root: &mut Map<String, Value>) {
    if let Some((key, members)) = open.pop() {
        let parent = open.last_mut().map_or(root, |(_, parent)| parent);
        parent.insert(key, Value::Object(members));
    }
}

pub(super) fn element(element: &PathElement, out: &mut String) {
    match element {
        PathElement::Field(name) => {
            out.push_str("f:");
            out.push_str(name);
        }
        PathElement::Key(fields) => {
            out.push_str("k:{");
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                string(&field.name, Escape::Required, out);
                out.push(':');
                value(&field.value, out);
            }
            out.push('}');
        }
        PathElement::Value(inner) => {
            out.push_str("v:");
            value(inner, out);
        }
        PathElement::Index(index) => {
            out.push_str("i:");
            out.push_str(&index.to_string());
        }
        PathElement::Unkeyed => {}
    }
}

// bounded: TypedValue and the reader limit the depth of values
fn value(value_: &Value, out: &mut String) {
    match value_ {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(n) => match number(n) {
            Num::Int(integer) => out.push_str(&integer.to_string()),
            Num::Float(float) => text::float(float, FIXED, out),
        },
        Value::String(text) => string(text, Escape::Html, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                value(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, member)) in sorted(members).into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                string(name, Escape::Html, out);
                out.push(':');
                value(member, out);
            }
            out.push('}');
        }
    }
}

fn string(text: &str, escape: Escape, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut clean = 0;
    for (at, c) in text.char_indices() {
        let html = escape == Escape::Html;
        let escaped = match c {
            '"' | '\\' | '\0'..='\u{1f}' => true,
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => html,
            _ => false,
        };
        if !escaped {
            continue;
        }
        out.push_str(&text[clean..at]);
        clean = at + c.len_utf8();
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => {
                let code = u32::from(c) as usize;
                out.push_str("\\u00");
                out.push(char::from(HEX[code >> 4 & 0xf]));
                out.push(char::from(HEX[code & 0xf]));
            }
        }
    }
    out.push_str(&text[clean..]);
    out.push('"');
}
