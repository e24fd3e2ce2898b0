//! JSON with the number types, repairs of invalid text, and error messages of Go's decoder.

mod number;
mod string;

use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::duplicates::{Duplicates, Step};
use crate::error::ParseError;
use crate::weight::{Budget, memory_limit};

/// Limit of nested objects and arrays in a document of a client: the limit of Go's `encoding/json`
/// and of `sigs.k8s.io/json` (`maxNestingDepth`).
///
/// The parser does not recurse, but operations on the tree do: `Value`'s `clone`, `eq` and `drop`,
/// writing, pruning. Threads that hold values have stacks of [`STACK_SIZE`].
pub const MAX_DEPTH: usize = 10_000;

/// Stack of a thread that handles values, in bytes: 6.7 kB per level of [`MAX_DEPTH`].
///
/// Debug builds need 1.3 kB per level to clone, 0.9 to compare, 0.8 to weigh and 0.5 to write,
/// which makes 13 MB for the deepest value; YAML needs 19 MB for its own
/// [limit](crate::yaml::MAX_DEPTH). Stack pages that are never touched use no memory.
pub const STACK_SIZE: usize = 64 << 20;

/// Length from which an array reserves an estimate instead of doubling.
const LONG: usize = 1 << 16;

/// Limit of one growth step of an array, as a multiple of its length.
const MAX_GROWTH_FACTOR: usize = 32;

/// Levels that responses add around an object: a list, an event, a row of a table.
const WRAPPER_LEVELS: usize = 8;

/// A document and the findings of strict decoding.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The value; the last value of a repeated key wins.
    pub value: Value,
    /// Paths of repeated keys, such as `spec.a[0].b`, in document order; each once, at most 100.
    pub duplicates: Vec<String>,
}

/// Parses one JSON document of a client.
///
/// A number is an integer if it has neither fraction nor exponent and fits an i64, and a float
/// otherwise. Invalid UTF-8 and lone surrogates become U+FFFD.
///
/// # Errors
///
/// On bad syntax, on nesting beyond [`MAX_DEPTH`], on a number beyond the range of float64, and on
/// a document whose tree would need more memory than [`memory_limit`] of its length.
pub fn parse(input: &[u8]) -> Result<Parsed, ParseError> {
    parse_within(input, MAX_DEPTH, memory_limit(input.len()))
}

/// Parses a JSON document that this server wrote: an object from storage, or a response around
/// objects. It met the limits of [`parse`] when it was accepted, so the depth limit here includes
/// the levels around an object, and memory has no limit.
///
/// # Errors
///
/// As [`parse`].
pub fn reparse(written: &[u8]) -> Result<Value, ParseError> {
    parse_within(written, MAX_DEPTH + WRAPPER_LEVELS, usize::MAX).map(|parsed| parsed.value)
}

fn parse_within(input: &[u8], max_depth: usize, memory: usize) -> Result<Parsed, ParseError> {
    let budget = Budget::new(memory);
    match std::str::from_utf8(input) {
        Ok(text) => Parser::new(text, None, max_depth, budget).document(),
        Err(error) => {
            let at = error.valid_up_to();
            let invalid = input.get(at).map(|byte| (at, *byte));
            let text = string::replace_invalid(input);
            Parser::new(&text, invalid, max_depth, budget).document()
        }
    }
}

/// The state of one pass over a text.
struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
    budget: Budget,
    /// Position and value of the first byte that is not UTF-8, for messages.
    invalid: Option<(usize, u8)>,
    duplicates: Duplicates,
    /// The first number beyond the range of float64. It is reported only if the syntax of the whole
    /// document is valid, as in Go.
    out_of_range: Option<ParseError>,
}

/// A container whose end has not been read.
enum Open {
    Array(Vec<Value>),
    Object(Members),
}

struct Members {
    fields: Map<String, Value>,
    /// The key of the member whose value is being read.
    key: String,
    /// Position of that key among the [`Duplicates`].
    mark: usize,
}

// === impl Parser ===

impl<'a> Parser<'a> {
    fn new(text: &'a str, invalid: Option<(usize, u8)>, max_depth: usize, budget: Budget) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            max_depth,
            budget,
            invalid,
            duplicates: Duplicates::default(),
            out_of_range: None,
        }
    }

    fn document(mut self) -> Result<Parsed, ParseError> {
        let value = self.tree()?;
        self.skip_space();
        if self.at < self.bytes.len() {
            return Err(self.unexpected("after top-level value"));
        }
        match self.out_of_range {
            Some(error) => Err(error),
            None => Ok(Parsed {
                value,
                duplicates: self.duplicates.into_paths(),
            }),
        }
    }

    /// Parses a value. Open containers are on an explicit stack instead of the thread's, so nesting
    /// does not consume the thread's stack.
    fn tree(&mut self) -> Result<Value, ParseError> {
        let mut open = Vec::new();
        loop {
            let Some(mut value) = self.begin(&mut open)? else {
                continue;
            };
            loop {
                let Some(innermost) = open.last_mut() else {
                    return Ok(value);
                };
                let ended = match innermost {
                    Open::Array(items) => self.item(items, value)?,
                    Open::Object(_) => self.member(&mut open, value)?,
                };
                if !ended {
                    break;
                }
                let Some(container) = open.pop() else {
                    return Err(end_of_input());
                };
                value = container.into_value();
            }
        }
    }

    /// Parses the value at the current position. A container that is not empty is pushed instead,
    /// and its first value is next.
    fn begin(&mut self, open: &mut Vec<Open>) -> Result<Option<Value>, ParseError> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => {
                self.open(open.len())?;
                if self.peek() == Some(b'}') {
                    self.at += 1;
                    return Ok(Some(Value::Object(Map::new())));
                }
                let key = self.key()?;
                open.push(Open::Object(Members {
                    fields: Map::new(),
                    key,
                    mark: self.duplicates.mark(),
                }));
                Ok(None)
            }
            Some(b'[') => {
                self.open(open.len())?;
                if self.peek() == Some(b']') {
                    self.at += 1;
                    return Ok(Some(Value::Array(Vec::new())));
                }
                open.push(Open::Array(Vec::new()));
                Ok(None)
            }
            Some(b'"') => {
                let text = self.string()?;
                self.budget.string(text.capacity())?;
                Ok(Some(Value::String(text)))
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Some),
            Some(b't') => self.literal("true", Value::Bool(true)).map(Some),
            Some(b'f') => self.literal("false", Value::Bool(false)).map(Some),
            Some(b'n') => self.literal("null", Value::Null).map(Some),
            Some(_) => Err(self.unexpected("looking for beginning of value")),
            None => Err(end_of_input()),
        }
    }

    /// Adds an item to an array; returns whether the array ends after it.
    fn item(&mut self, items: &mut Vec<Value>, value: Value) -> Result<bool, ParseError> {
        self.budget.item()?;
        self.make_room(items);
        items.push(value);
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(b']') => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Err(self.unexpected("after array element")),
            None => Err(end_of_input()),
        }
    }

    /// Reserves capacity so that a long array is rarely reallocated, because its memory is needed
    /// twice while it grows.
    fn make_room(&self, items: &mut Vec<Value>) {
        let len = items.len();
        if len < LONG || len < items.capacity() {
            return;
        }
        // Estimates the rest of the text from the items so far.
        let rest = self.bytes.len() - self.at;
        let more = len.saturating_mul(rest) / self.at.max(1) + len / 8;
        items.reserve_exact(more.min(MAX_GROWTH_FACTOR * len));
    }

    /// Adds a member to the innermost object and reads the next key; returns whether the object
    /// ends.
    fn member(&mut self, open: &mut [Open], value: Value) -> Result<bool, ParseError> {
        let mut repeated = None;
        if let Some(Open::Object(members)) = open.last_mut() {
            self.budget.member(members.fields.len())?;
            match members.fields.entry(std::mem::take(&mut members.key)) {
                Entry::Vacant(slot) => {
                    slot.insert(value);
                }
                Entry::Occupied(mut slot) => {
                    slot.insert(value);
                    repeated = Some((members.mark, slot.key().clone()));
                }
            }
        }
        if let Some((mark, key)) = repeated {
            let above = &open[..open.len() - 1];
            let way = above.iter().map(Open::step);
            self.duplicates.record(mark, way.chain([Step::Field(&key)]));
        }
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                let (key, mark) = (self.key()?, self.duplicates.mark());
                if let Some(Open::Object(members)) = open.last_mut() {
                    (members.key, members.mark) = (key, mark);
                }
                Ok(false)
            }
            Some(b'}') => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Err(self.unexpected("after object key:value pair")),
            None => Err(end_of_input()),
        }
    }

    /// Reads a key and the colon after it.
    fn key(&mut self) -> Result<String, ParseError> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(self.unexpected("looking for beginning of object key string")),
            None => return Err(end_of_input()),
        }
        let key = self.string()?;
        self.budget.string(key.capacity())?;
        self.skip_space();
        match self.peek() {
            Some(b':') => self.at += 1,
            Some(_) => return Err(self.unexpected("after object key")),
            None => return Err(end_of_input()),
        }
        Ok(key)
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, ParseError> {
        for want in word.chars() {
            if self.peek() != u8::try_from(want).ok() {
                let context = format!("in literal {word} (expecting '{want}')");
                return Err(self.unexpected(&context));
            }
            self.at += 1;
        }
        Ok(value)
    }

    /// Consumes the opening bracket of a container inside `depth` others.
    fn open(&mut self, depth: usize) -> Result<(), ParseError> {
        if depth == self.max_depth {
            return Err(self.unexpected("exceeded max depth"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// The error for the current byte. At the end of input that is a space, as in Go's scanner.
    fn unexpected(&self, context: &str) -> ParseError {
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
            // Go formats the byte as the code point with that number and escapes code points that
            // are not printable.
            byte @ (0x80..=0xa0 | 0xad) => format!("'\\u{byte:04x}'"),
            byte => format!("'{}'", char::from(byte)),
        };
        ParseError::Syntax(format!("invalid character {shown} {context}"))
    }
}

// === impl Open ===

impl Open {
    /// The current position within the container.
    fn step(&self) -> Step<'_> {
        match self {
            Self::Array(items) => Step::Item(items.len()),
            Self::Object(members) => Step::Field(&members.key),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Array(mut items) => {
                // An array's capacity may be twice its length, which is significant for large
                // arrays.
                items.shrink_to_fit();
                Value::Array(items)
            }
            Self::Object(members) => Value::Object(members.fields),
        }
    }
}

fn end_of_input() -> ParseError {
    ParseError::Syntax(String::from("unexpected end of JSON input"))
}

#[cfg(test)]
mod tests;
