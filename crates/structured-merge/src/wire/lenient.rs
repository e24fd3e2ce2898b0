//! JSON as the reference reads it: RFC 8259 and a few texts more.
//!
//! Accepted besides JSON: `null` in the place of a name; control characters in a string after its
//! first escape; `-+1`. Rejected although JSON: numbers beyond the range of float64. Lone surrogates
//! become U+FFFD. Every number is a float.

use serde_json::{Map, Number, Value};

/// A position in a text.
pub(super) struct Lenient<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub(super) at: usize,
    /// Levels that may still be entered.
    depth: usize,
}

/// What is wrong with a text, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) at: usize,
    pub(super) problem: &'static str,
}

// === impl Lenient ===

impl<'a> Lenient<'a> {
    pub(super) fn new(text: &'a str, depth: usize) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            depth,
        }
    }

    pub(super) fn bad<T>(&self, problem: &'static str) -> Result<T, Bad> {
        Err(Bad {
            at: self.at,
            problem,
        })
    }

    /// Skips space and returns the next byte without consuming it; 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Consumes the byte if it is the next one after space.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    pub(super) fn enter(&mut self) -> Result<(), Bad> {
        match self.depth.checked_sub(1) {
            Some(depth) => {
                self.depth = depth;
                Ok(())
            }
            None => self.bad("exceeded max depth"),
        }
    }

    pub(super) const fn leave(&mut self) {
        self.depth += 1;
    }

    /// Only space may follow.
    pub(super) fn end(&mut self) -> Result<(), Bad> {
        self.peek();
        if self.at < self.bytes.len() {
            return self.bad("unexpected trailing data after JSON value");
        }
        Ok(())
    }

    /// A name and the colon after it.
    pub(super) fn name(&mut self) -> Result<String, Bad> {
        let name = self.string()?;
        if !self.take(b':') {
            return self.bad("expected : after the name of a member");
        }
        Ok(name)
    }

    // bounded: by the depth limit of the reader
    pub(super) fn value(&mut self) -> Result<Value, Bad> {
        match self.peek() {
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => self.number(),
            b'n' => self.literal("null", Value::Null),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'[' => {
                self.at += 1;
                self.enter()?;
                let mut items = Vec::new();
                if !self.take(b']') {
                    items.push(self.value()?);
                    while self.take(b',') {
                        items.push(self.value()?);
                    }
                    if !self.take(b']') {
                        return self.bad("expected ] at the end of a list");
                    }
                }
                self.leave();
                Ok(Value::Array(items))
            }
            b'{' => {
                let mut members = Map::new();
                self.object(|name, value| {
                    members.insert(name, value);
                })?;
                Ok(Value::Object(members))
            }
            _ => self.bad("expected a value"),
        }
    }

    /// The members of an object, or none of `null`.
    // bounded: by the depth limit of the reader
    pub(super) fn object(&mut self, mut member: impl FnMut(String, Value)) -> Result<(), Bad> {
        if self.peek() == b'n' {
            self.literal("null", ())?;
            return Ok(());
        }
        if !self.take(b'{') {
            return self.bad("expected { or null");
        }
        self.enter()?;
        if !self.take(b'}') {
            if self.peek() != b'"' {
                return self.bad("expected the name of a member");
            }
            loop {
                let name = self.name()?;
                member(name, self.value()?);
                if !self.take(b',') {
                    break;
                }
            }
            if !self.take(b'}') {
                return self.bad("expected } at the end of an object");
            }
        }
        self.leave();
        Ok(())
    }

    pub(super) fn literal<T>(&mut self, word: &str, value: T) -> Result<T, Bad> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.bad("invalid literal");
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, Bad> {
        let negative = self.bytes.get(self.at) == Some(&b'-');
        self.at += usize::from(negative);
        let start = self.at;
        while let Some(b'+' | b'-' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        let digits = &self.text[start..self.at];
        let bytes = digits.as_bytes();
        let leading_zero = matches!(bytes, [b'0', b'0'..=b'9', ..]);
        let bad_dot = bytes
            .iter()
            .position(|byte| *byte == b'.')
            .is_some_and(|dot| dot == 0 || !bytes.get(dot + 1).is_some_and(u8::is_ascii_digit));
        if leading_zero || bad_dot || bytes.first() == Some(&b'-') {
            return self.bad("invalid number");
        }
        let number = digits.parse::<f64>().ok().filter(|float| float.is_finite());
        let number = number.map(|float| if negative { -float } else { float });
        match number.and_then(Number::from_f64) {
            Some(number) => Ok(Value::Number(number)),
            None => self.bad("invalid number"),
        }
    }

    /// A string, or the empty one for `null`.
    fn string(&mut self) -> Result<String, Bad> {
        match self.peek() {
            b'n' => return self.literal("null", String::new()),
            b'"' => self.at += 1,
            _ => return self.bad("expected a string"),
        }
        let mut out = String::new();
        let mut escaped = false;
        loop {
            let rest = &self.text[self.at..];
            let Some(next) = rest.find(['"', '\\']) else {
                self.at = self.bytes.len();
                return self.bad("unexpected end of a string");
            };
            let (clean, _) = rest.split_at(next);
            if !escaped && clean.bytes().any(|byte| byte < b' ') {
                return self.bad("control character in a string");
            }
            out.push_str(clean);
            self.at += next + 1;
            if rest.as_bytes()[next] == b'"' {
                return Ok(out);
            }
            escaped = true;
            self.escape(&mut out)?;
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, out: &mut String) -> Result<(), Bad> {
        // A second iteration follows a lone surrogate whose next escape is not `\u`.
        loop {
            let Some(byte) = self.bytes.get(self.at).copied() else {
                return self.bad("unexpected end of a string");
            };
            self.at += 1;
            out.push(match byte {
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let first = self.hex()?;
                    if let Some(c) = char::from_u32(first) {
                        c
                    } else {
                        if self.bytes.get(self.at) != Some(&b'\\') {
                            out.push(char::REPLACEMENT_CHARACTER);
                            return Ok(());
                        }
                        self.at += 1;
                        if self.bytes.get(self.at) != Some(&b'u') {
                            out.push(char::REPLACEMENT_CHARACTER);
                            continue;
                        }
                        self.at += 1;
                        let second = self.hex()?;
                        pair(first, second, out);
                        return Ok(());
                    }
                }
                _ => {
                    self.at -= 1;
                    return self.bad("invalid escape in a string");
                }
            });
            return Ok(());
        }
    }

    fn hex(&mut self) -> Result<u32, Bad> {
        let digits = self.bytes.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match number.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(number) => {
                self.at += 4;
                Ok(number)
            }
            None => self.bad("expected four hexadecimal digits"),
        }
    }
}

/// Appends the character of a surrogate pair, or a replacement for each part that is none.
fn pair(first: u32, second: u32, out: &mut String) {
    if (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&second) {
        let code = 0x1_0000 + ((first - 0xd800) << 10 | (second - 0xdc00));
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    } else {
        out.push(char::REPLACEMENT_CHARACTER);
        out.push(char::from_u32(second).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
}
