//! JSON as Go's decoder reads it: same numbers, same repairs, same error texts.

mod number;
mod string;

use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::duplicates::{Duplicates, Frame};

/// How many objects and arrays may be open at once.
///
/// kube-apiserver allows 10,000. A tree of values is walked and dropped by recursion, here and in
/// every crate above, and tasks run on stacks of 2 MiB; this depth keeps all of that safe in debug
/// builds too, and is far beyond any real object.
pub const MAX_DEPTH: usize = 500;

/// A document and what strict decoding has to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The value; of a repeated key, the last one counts.
    pub value: Value,
    /// Paths of repeated keys, such as `spec.a[0].b`, in document order; each once, at most 100.
    pub duplicates: Vec<String>,
}

/// Why a text is no JSON, in the words of Go's `encoding/json`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub(crate) String);

/// Reads one JSON document.
///
/// Numbers are integers if they have neither fraction nor exponent and fit an i64, and floats
/// otherwise. Bytes that are no UTF-8 and lone surrogates become U+FFFD.
///
/// # Errors
///
/// On bad syntax, on nesting beyond [`MAX_DEPTH`], and on a number that no float64 can hold.
pub fn parse(input: &[u8]) -> Result<Parsed, SyntaxError> {
    match std::str::from_utf8(input) {
        Ok(text) => parse_text(text, None),
        Err(error) => {
            let at = error.valid_up_to();
            let invalid = input.get(at).map(|byte| (at, *byte));
            parse_text(&string::replace_invalid(input), invalid)
        }
    }
}

fn parse_text(text: &str, invalid: Option<(usize, u8)>) -> Result<Parsed, SyntaxError> {
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
        depth: 0,
        invalid,
        duplicates: Duplicates::default(),
        unfit: None,
    };
    let value = parser.value(None)?;
    parser.skip_space();
    if parser.at < parser.bytes.len() {
        return Err(parser.unexpected("after top-level value"));
    }
    match parser.unfit {
        Some(error) => Err(error),
        None => Ok(Parsed {
            value,
            duplicates: parser.duplicates.into_paths(),
        }),
    }
}

/// The state of one pass over a text.
struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// Where the first byte that is no UTF-8 stood, and which it was, for messages.
    invalid: Option<(usize, u8)>,
    duplicates: Duplicates,
    /// The first number that fits no float64: reported only if the syntax holds to the end.
    unfit: Option<SyntaxError>,
}

// === impl Parser ===

impl Parser<'_> {
    fn value(&mut self, parent: Option<&Frame<'_>>) -> Result<Value, SyntaxError> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(parent),
            Some(b'[') => self.array(parent),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(_) => Err(self.unexpected("looking for beginning of value")),
            None => Err(end_of_input()),
        }
    }

    fn object(&mut self, parent: Option<&Frame<'_>>) -> Result<Value, SyntaxError> {
        self.open()?;
        let mut fields = Map::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            return Ok(self.close(Value::Object(fields)));
        }
        loop {
            self.skip_space();
            match self.peek() {
                Some(b'"') => {}
                Some(_) => {
                    return Err(self.unexpected("looking for beginning of object key string"));
                }
                None => return Err(end_of_input()),
            }
            let key = self.string()?;
            self.skip_space();
            match self.peek() {
                Some(b':') => self.at += 1,
                Some(_) => return Err(self.unexpected("after object key")),
                None => return Err(end_of_input()),
            }
            let mark = self.duplicates.mark();
            let value = self.value(Some(&Frame::field(parent, &key)))?;
            match fields.entry(key) {
                Entry::Vacant(slot) => {
                    slot.insert(value);
                }
                Entry::Occupied(mut slot) => {
                    let frame = Frame::field(parent, slot.key());
                    self.duplicates.record(mark, &frame);
                    slot.insert(value);
                }
            }
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => return Ok(self.close(Value::Object(fields))),
                Some(_) => return Err(self.unexpected("after object key:value pair")),
                None => return Err(end_of_input()),
            }
        }
    }

    fn array(&mut self, parent: Option<&Frame<'_>>) -> Result<Value, SyntaxError> {
        self.open()?;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            return Ok(self.close(Value::Array(items)));
        }
        loop {
            let frame = Frame::item(parent, items.len());
            items.push(self.value(Some(&frame))?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => return Ok(self.close(Value::Array(items))),
                Some(_) => return Err(self.unexpected("after array element")),
                None => return Err(end_of_input()),
            }
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, SyntaxError> {
        for want in word.chars() {
            if self.peek() != u8::try_from(want).ok() {
                let context = format!("in literal {word} (expecting '{want}')");
                return Err(self.unexpected(&context));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn open(&mut self) -> Result<(), SyntaxError> {
        if self.depth == MAX_DEPTH {
            return Err(self.unexpected("exceeded max depth"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, value: Value) -> Value {
        self.depth -= 1;
        self.at += 1;
        value
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// The error for the byte at hand. Behind the end stands a space, as for Go's scanner.
    fn unexpected(&self, context: &str) -> SyntaxError {
        let invalid = self.invalid.filter(|(at, _)| *at == self.at);
        let byte = invalid.map_or(self.peek(), |(_, byte)| Some(byte));
        let shown = match byte.unwrap_or(b' ') {
            b'\'' => String::from(r"'\''"),
            b'"' => String::from("'\"'"),
            b'\\' => String::from(r"'\\'"),
            0x07 => String::from(r"'\a'"),
            0x08 => String::from(r"'\b'"),
            0x0b => String::from(r"'\v'"),
            0x0c => String::from(r"'\f'"),
            b'\n' => String::from(r"'\n'"),
            b'\r' => String::from(r"'\r'"),
            b'\t' => String::from(r"'\t'"),
            byte @ (0..=0x1f | 0x7f) => format!("'\\x{byte:02x}'"),
            // A byte is shown as the character of that number, printable or not.
            byte @ (0x80..=0xa0 | 0xad) => format!("'\\u{byte:04x}'"),
            byte => format!("'{}'", char::from(byte)),
        };
        SyntaxError(format!("invalid character {shown} {context}"))
    }
}

fn end_of_input() -> SyntaxError {
    SyntaxError(String::from("unexpected end of JSON input"))
}

#[cfg(test)]
mod tests;
