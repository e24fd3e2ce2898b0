//! Translates Go's syntax to that of the `regex` crate.
//!
//! Both engines are finite automata with nearly the same syntax. The differences: classes such as
//! `\d` are ASCII in Go, a `{` that starts no repetition is a literal, `[` and `&&` are literals in
//! a class, all punctuation may be escaped, and repetitions must not be repeated.

use std::fmt::Write as _;

use super::PatternError;
use super::limits::{Exceeded, Limits, MAX_COPIES, Repeat};

/// The pattern in the engine's syntax, and its size in instructions of Go's program.
pub(super) fn translate(pattern: &str) -> Result<(String, u64), PatternError> {
    let mut reader = Reader {
        pattern,
        at: 0,
        out: String::with_capacity(pattern.len() + 16),
        open: 0,
        limits: Limits::default(),
    };
    let mut last = Last::Start;
    while let Some(c) = reader.peek() {
        last = reader.item(c, last)?;
    }
    if reader.open > 0 {
        return Err(error("missing closing )", pattern));
    }
    let Reader { limits, out, .. } = reader;
    let size = limits.end().map_err(|limit| exceeded(limit, pattern, ""))?;
    Ok((out, size))
}

/// The error for a limit; `repeat` is the repetition that exceeded it.
fn exceeded(limit: Exceeded, pattern: &str, repeat: &str) -> PatternError {
    match limit {
        Exceeded::Copies => error("invalid repeat count", repeat),
        Exceeded::Size => error("expression too large", pattern),
        Exceeded::Height => error(super::TOO_DEEP, pattern),
    }
}

/// The expression to which the next repetition applies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Start,
    Atom,
    /// A repetition, with its start in the pattern.
    Repeat(usize),
}

struct Reader<'a> {
    pattern: &'a str,
    at: usize,
    out: String,
    open: usize,
    limits: Limits,
}

/// A character or a set, inside or outside of brackets.
enum Escape {
    Char(char),
    /// The members of an ASCII class, without brackets, and whether they are excluded.
    Class(&'static str, bool),
    /// A Unicode class in the engine's syntax.
    Unicode(String),
}

fn error(what: &str, text: &str) -> PatternError {
    PatternError(format!("{what}: `{text}`"))
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.pattern[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || (!c.is_ascii() && !c.is_whitespace()) {
            self.out.push(c);
        } else {
            // Writing to a String does not fail.
            let _ = write!(self.out, "\\x{{{:x}}}", u32::from(c));
        }
    }

    fn item(&mut self, c: char, last: Last) -> Result<Last, PatternError> {
        match c {
            '(' => self.group(),
            ')' => {
                if self.open == 0 {
                    return Err(error("unexpected )", self.pattern));
                }
                self.open -= 1;
                self.at += 1;
                self.out.push(')');
                self.limits
                    .close()
                    .map_err(|limit| exceeded(limit, self.pattern, ""))?;
                Ok(Last::Atom)
            }
            '|' => {
                self.at += 1;
                self.out.push('|');
                self.limits.alternative();
                Ok(Last::Start)
            }
            '*' => self.repeat(1, Repeat::Star, last),
            '+' => self.repeat(1, Repeat::Plus, last),
            '?' => self.repeat(1, Repeat::Quest, last),
            '{' => match self.counts()? {
                Some((length, repeat)) => self.repeat(length, repeat, last),
                None => {
                    self.at += 1;
                    self.literal('{');
                    Ok(self.atom())
                }
            },
            '[' => self.class(),
            '\\' => self.escape_outside(),
            '^' | '$' | '.' => {
                self.at += 1;
                self.out.push(c);
                Ok(self.atom())
            }
            other => {
                self.at += other.len_utf8();
                self.literal(other);
                Ok(self.atom())
            }
        }
    }

    fn atom(&mut self) -> Last {
        self.limits.atom();
        Last::Atom
    }

    /// The length of `{n}`, `{n,}` or `{n,m}` at this position, and its bounds.
    fn counts(&self) -> Result<Option<(usize, Repeat)>, PatternError> {
        let rest = self.rest();
        let Some(end) = rest.find('}') else {
            return Ok(None);
        };
        let text = &rest[..=end];
        let (low, high) = match rest[1..end].split_once(',') {
            Some((low, high)) => (low, Some(high)),
            None => (&rest[1..end], None),
        };
        let plain = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits && (text.len() == 1 || !text.starts_with('0'))
        };
        if !plain(low) || !high.is_none_or(|high| high.is_empty() || plain(high)) {
            return Ok(None);
        }
        let number = |text: &str| text.parse().unwrap_or(u32::MAX);
        let least = number(low);
        let most = match high {
            None => Some(least),
            Some("") => None,
            Some(high) => Some(number(high)),
        };
        let largest = most.unwrap_or(least);
        if u64::from(least.max(largest)) > MAX_COPIES || least > largest {
            return Err(error("invalid repeat count", text));
        }
        Ok(Some((text.len(), Repeat::Counted { least, most })))
    }

    fn repeat(&mut self, length: usize, repeat: Repeat, last: Last) -> Result<Last, PatternError> {
        let start = self.at;
        let mut end = start + length;
        if self.pattern[end..].starts_with('?') {
            end += 1;
        }
        match last {
            Last::Start => {
                let text = &self.pattern[start..end];
                return Err(error("missing argument to repetition operator", text));
            }
            Last::Repeat(before) => {
                let text = &self.pattern[before..end];
                return Err(error("invalid nested repetition operator", text));
            }
            Last::Atom => {}
        }
        let text = &self.pattern[start..end];
        self.limits
            .repeat(repeat)
            .map_err(|limit| exceeded(limit, self.pattern, text))?;
        self.out.push_str(text);
        self.at = end;
        Ok(Last::Repeat(start))
    }

    fn group(&mut self) -> Result<Last, PatternError> {
        let rest = self.rest();
        self.at += 1;
        self.open += 1;
        self.out.push('(');
        let Some(inside) = rest.strip_prefix("(?") else {
            self.limits.open(true);
            return Ok(Last::Start);
        };
        let name = inside
            .strip_prefix("P<")
            .or_else(|| inside.strip_prefix('<'));
        if let Some(name) = name {
            let end = name
                .find('>')
                .ok_or_else(|| error("invalid named capture", rest))?;
            let text = &rest[..rest.len() - name.len() + end + 1];
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if end == 0 || !name[..end].chars().all(word) {
                return Err(error("invalid named capture", text));
            }
            // Captures are not used, so the group's name, which the engine may reject, is dropped.
            self.at += text.len() - 1;
            self.limits.open(true);
            return Ok(Last::Start);
        }
        for (index, c) in inside.char_indices() {
            match c {
                'i' | 'm' | 's' | 'U' | '-' => {}
                ':' | ')' => {
                    let flags = &inside[..index];
                    self.out.push('?');
                    self.out.push_str(flags);
                    self.out.push(c);
                    self.at += index + 2;
                    if c == ')' {
                        self.open -= 1;
                    } else {
                        self.limits.open(false);
                    }
                    return Ok(Last::Start);
                }
                other => {
                    let text = &rest[..2 + index + other.len_utf8()];
                    return Err(error("invalid or unsupported Perl syntax", text));
                }
            }
        }
        Err(error("missing argument to group", rest))
    }

    fn escape_outside(&mut self) -> Result<Last, PatternError> {
        let rest = self.rest();
        let quoted = rest.strip_prefix("\\Q");
        if let Some(quoted) = quoted {
            let end = quoted.find("\\E");
            for c in quoted[..end.unwrap_or(quoted.len())].chars() {
                self.literal(c);
                self.limits.atom();
            }
            self.at = self.pattern.len() - end.map_or(0, |end| quoted.len() - end - 2);
            return Ok(Last::Atom);
        }
        for (anchor, translated) in [
            ("\\A", "\\A"),
            ("\\z", "\\z"),
            ("\\b", "(?-u:\\b)"),
            ("\\B", "(?-u:\\B)"),
        ] {
            if rest.starts_with(anchor) {
                self.at += 2;
                self.out.push_str(translated);
                return Ok(self.atom());
            }
        }
        match self.escape()? {
            Escape::Char(c) => self.literal(c),
            Escape::Unicode(class) => self.out.push_str(&class),
            Escape::Class(members, negated) => {
                self.out.push_str(if negated { "[^" } else { "[" });
                self.out.push_str(members);
                self.out.push(']');
            }
        }
        Ok(self.atom())
    }

    /// An escape that is valid inside and outside of brackets.
    fn escape(&mut self) -> Result<Escape, PatternError> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.bump() else {
            return Err(error("trailing backslash at end of expression", ""));
        };
        let space = "\\t\\n\\x{c}\\r\\x{20}";
        Ok(match c {
            'd' => Escape::Class("0-9", false),
            'D' => Escape::Class("0-9", true),
            'w' => Escape::Class("0-9A-Za-z_", false),
            'W' => Escape::Class("0-9A-Za-z_", true),
            's' => Escape::Class(space, false),
            'S' => Escape::Class(space, true),
            'p' | 'P' => self.unicode(start, c == 'P')?,
            'a' => Escape::Char('\u{7}'),
            'f' => Escape::Char('\u{c}'),
            't' => Escape::Char('\t'),
            'n' => Escape::Char('\n'),
            'r' => Escape::Char('\r'),
            'v' => Escape::Char('\u{b}'),
            'x' => Escape::Char(self.hex(start)?),
            '0'..='7' => Escape::Char(self.octal(start, c)?),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Escape::Char(c),
            _ => return Err(self.bad_escape(start)),
        })
    }

    fn bad_escape(&self, start: usize) -> PatternError {
        error("invalid escape sequence", &self.pattern[start..self.at])
    }

    fn octal(&mut self, start: usize, first: char) -> Result<char, PatternError> {
        let is_octal = |c: Option<char>| c.is_some_and(|c| ('0'..='7').contains(&c));
        if first != '0' && !is_octal(self.peek()) {
            return Err(self.bad_escape(start));
        }
        let mut value = first.to_digit(8).unwrap_or_default();
        for _ in 0..2 {
            if !is_octal(self.peek()) {
                break;
            }
            let digit = self.bump().and_then(|c| c.to_digit(8));
            value = value * 8 + digit.unwrap_or_default();
        }
        char::from_u32(value).ok_or_else(|| self.bad_escape(start))
    }

    fn hex(&mut self, start: usize) -> Result<char, PatternError> {
        let rest = self.rest();
        let (digits, length) = if let Some(braced) = rest.strip_prefix('{') {
            let end = braced.find('}').unwrap_or(0);
            (&braced[..end], end + 2)
        } else {
            (rest.get(..2).unwrap_or_default(), 2)
        };
        let value = if digits.starts_with('+') {
            None
        } else {
            u32::from_str_radix(digits, 16).ok()
        };
        let c = value.and_then(char::from_u32);
        if c.is_some() {
            self.at += length;
        }
        c.ok_or_else(|| self.bad_escape(start))
    }

    fn unicode(&mut self, start: usize, negated: bool) -> Result<Escape, PatternError> {
        let bad = |text: &str| error("invalid character class range", text);
        let Some(c) = self.bump() else {
            return Err(bad(&self.pattern[start..]));
        };
        let mut name = String::from(c);
        if c == '{' {
            let end = self.rest().find('}');
            let end = end.ok_or_else(|| bad(&self.pattern[start..]))?;
            name = self.rest()[..end].to_owned();
            self.at += end + 1;
        }
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, !negated),
            None => (name.as_str(), negated),
        };
        let class = format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' });
        if name.contains(['=', ':', '!']) || regex_syntax::parse(&class).is_err() {
            return Err(bad(&self.pattern[start..self.at]));
        }
        Ok(Escape::Unicode(class))
    }

    fn class(&mut self) -> Result<Last, PatternError> {
        let start = self.at;
        let missing = || error("missing closing ]", &self.pattern[start..]);
        let missing = missing();
        self.at += 1;
        self.out.push('[');
        if self.peek() == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = self.peek() else {
                return Err(missing);
            };
            if c == ']' && !first {
                self.at += 1;
                self.out.push(']');
                return Ok(self.atom());
            }
            first = false;
            if c == '[' && self.posix()? {
                continue;
            }
            self.member(&missing)?;
        }
    }

    /// `[:alpha:]` and the like.
    fn posix(&mut self) -> Result<bool, PatternError> {
        let rest = self.rest();
        let Some(end) = rest.strip_prefix("[:").and_then(|rest| rest.find(":]")) else {
            return Ok(false);
        };
        let text = &rest[..end + 4];
        let name = text[2..text.len() - 2].trim_start_matches('^');
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(error("invalid character class range", text));
        }
        self.out.push_str(text);
        self.at += text.len();
        Ok(true)
    }

    /// A character, a range or an escape in brackets.
    fn member(&mut self, missing: &PatternError) -> Result<(), PatternError> {
        let start = self.at;
        let low = match self.one(missing)? {
            Escape::Char(c) => c,
            Escape::Class(members, negated) => {
                self.out.push_str(if negated { "[^" } else { "[" });
                self.out.push_str(members);
                self.out.push(']');
                return Ok(());
            }
            Escape::Unicode(class) => {
                self.out.push_str(&class);
                return Ok(());
            }
        };
        let rest = self.rest();
        let is_range = rest.starts_with('-') && rest.len() > 1 && !rest[1..].starts_with(']');
        let mut high = low;
        if is_range {
            self.at += 1;
            let end = self.one(missing)?;
            let Escape::Char(end) = end else {
                let text = &self.pattern[start..self.at];
                return Err(error("invalid character class range", text));
            };
            if end < low {
                let text = &self.pattern[start..self.at];
                return Err(error("invalid character class range", text));
            }
            high = end;
        }
        self.literal(low);
        if is_range {
            self.out.push('-');
            self.literal(high);
        }
        Ok(())
    }

    fn one(&mut self, missing: &PatternError) -> Result<Escape, PatternError> {
        match self.peek() {
            Some('\\') => self.escape(),
            Some(_) => Ok(self.bump().map_or(Escape::Char('\0'), Escape::Char)),
            None => Err(missing.clone()),
        }
    }
}
