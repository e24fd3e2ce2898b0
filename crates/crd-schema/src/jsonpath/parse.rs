//! Parses a path to nodes.

use super::{JsonPathError, Node, Slice};

/// Limit of nested unions and filters.
const MAX_DEPTH: usize = 16;

pub(super) fn template(text: &str) -> Result<Vec<Vec<Node>>, JsonPathError> {
    Parser {
        input: text,
        at: 0,
        depth: 0,
    }
    .template()
}

struct Parser<'a> {
    input: &'a str,
    at: usize,
    depth: usize,
}

fn error<T>(text: impl Into<String>) -> Result<T, JsonPathError> {
    Err(JsonPathError(text.into()))
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.input[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn template(&mut self) -> Result<Vec<Vec<Node>>, JsonPathError> {
        let mut parts = Vec::new();
        while !self.rest().is_empty() {
            let rest = self.rest();
            let text = &rest[..rest.find('{').unwrap_or(rest.len())];
            self.at += text.len();
            if !text.is_empty() {
                parts.push(vec![Node::Text(text.to_owned())]);
            }
            if self.next().is_some() {
                let mut nodes = Vec::new();
                while self.step(&mut nodes)? {}
                parts.push(nodes);
            }
        }
        Ok(parts)
    }

    /// The nodes of a part of an expression.
    fn action(&self, text: &str) -> Result<Vec<Node>, JsonPathError> {
        if self.depth >= MAX_DEPTH {
            return error("expression is nested too deeply");
        }
        let mut parser = Parser {
            input: &format!("{{{text}}}"),
            at: 0,
            depth: self.depth + 1,
        };
        Ok(parser.template()?.into_iter().next().unwrap_or_default())
    }

    /// Reads one node; returns false at the closing brace.
    fn step(&mut self, nodes: &mut Vec<Node>) -> Result<bool, JsonPathError> {
        let rest = self.rest();
        if rest.starts_with('}') {
            self.at += 1;
            return Ok(false);
        }
        if rest.starts_with("[?(") {
            nodes.push(self.filter()?);
            return Ok(true);
        }
        if rest.starts_with("..") {
            if nodes.last() == Some(&Node::Recursive) {
                return error("invalid multiple recursive descent");
            }
            self.at += 2;
            nodes.push(Node::Recursive);
            if self.peek().is_some_and(|c| c == '_' || c.is_alphanumeric()) {
                nodes.push(self.field());
            }
            return Ok(true);
        }
        match self.next() {
            None | Some('\r' | '\n') => return error("unclosed action"),
            Some(' ' | '@' | '$') => {}
            Some('[') => self.array(nodes)?,
            Some(quote @ ('"' | '\'')) => nodes.push(self.quoted(quote)?),
            Some('.') => nodes.push(self.field()),
            Some(c) if c == '+' || c == '-' || c.is_numeric() => {
                self.at -= c.len_utf8();
                nodes.push(self.number()?);
            }
            Some(c) if c == '_' || c.is_alphabetic() => {
                self.at -= c.len_utf8();
                nodes.push(self.identifier());
            }
            Some(c) => {
                let code = u32::from(c);
                return error(format!(
                    "unrecognized character in action: U+{code:04X} '{c}'"
                ));
            }
        }
        Ok(true)
    }

    fn field(&mut self) -> Node {
        let start = self.at;
        while let Some(c) = self.peek() {
            if is_terminator(c) {
                break;
            }
            self.next();
            if c == '\\' {
                self.next();
            }
        }
        match &self.input[start..self.at] {
            "*" => Node::Wildcard,
            name => Node::Field(name.replace('\\', "")),
        }
    }

    fn identifier(&mut self) -> Node {
        let start = self.at;
        while self.peek().is_some_and(|c| !is_terminator(c)) {
            self.next();
        }
        match &self.input[start..self.at] {
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            name => Node::Identifier(name.to_owned()),
        }
    }

    fn number(&mut self) -> Result<Node, JsonPathError> {
        let start = self.at;
        if matches!(self.peek(), Some('+' | '-')) {
            self.next();
        }
        while self.peek().is_some_and(|c| c == '.' || c.is_numeric()) {
            self.next();
        }
        let text = &self.input[start..self.at];
        if let Ok(integer) = text.parse() {
            return Ok(Node::Integer(integer));
        }
        match text.parse::<f64>() {
            Ok(float) => Ok(Node::Float(float)),
            Err(_) => error(format!("cannot parse number {text}")),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Node, JsonPathError> {
        let mut text = String::new();
        loop {
            match self.next() {
                None | Some('\n') => return error("unterminated quoted string"),
                Some(c) if c == quote => return Ok(Node::Text(text)),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c) if c == quote || c == '\\' => text.push(c),
                    _ => {
                        return error(format!(
                            "unquote string {} error invalid syntax",
                            self.input
                        ));
                    }
                },
                Some(c) => text.push(c),
            }
        }
    }

    fn array(&mut self, nodes: &mut Vec<Node>) -> Result<(), JsonPathError> {
        let rest = self.rest();
        let end = rest.find([']', '\n']);
        let Some(end) = end.filter(|end| rest[*end..].starts_with(']')) else {
            return error("unterminated array");
        };
        let text = &rest[..end];
        self.at += end + 1;
        let text = if text == "*" { ":" } else { text };
        if text.contains(',') {
            let read = |item: &str| self.action(&format!("[{}]", item.trim_matches(' ')));
            let union = text.split(',').map(read).collect::<Result<_, _>>()?;
            nodes.push(Node::Union(union));
            return Ok(());
        }
        let quoted = text
            .strip_prefix('\'')
            .and_then(|text| text.strip_suffix('\''));
        if let Some(key) = quoted.filter(|key| !key.contains('\'')) {
            nodes.extend(self.action(&format!(".{key}"))?);
            return Ok(());
        }
        nodes.push(Node::Array(slice(text)?));
        Ok(())
    }

    fn filter(&mut self) -> Result<Node, JsonPathError> {
        self.at += "[?(".len();
        let start = self.at;
        let (mut begin, mut end, mut pair) = (false, false, '"');
        loop {
            match self.next() {
                None | Some('\n') => return error("unterminated filter"),
                Some(quote @ ('"' | '\'')) => {
                    let escaped = self.input[..self.at - 1].ends_with('\\');
                    if !begin {
                        begin = true;
                        pair = quote;
                    } else if !escaped && quote == pair {
                        end = true;
                    }
                }
                Some(')') if begin == end => break,
                Some(_) => {}
            }
        }
        let text = &self.input[start..self.at - 1];
        if self.next() != Some(']') {
            return error("unclosed array expect ]");
        }
        let is_operator = |c: char| matches!(c, '!' | '<' | '>' | '=');
        let left = &text[..text.find(is_operator).unwrap_or(text.len())];
        let after = &text[left.len()..];
        let right = after.trim_start_matches(is_operator);
        if left.is_empty() || after.is_empty() || right.is_empty() {
            return Ok(Node::Filter {
                left: self.action(text)?,
                operator: String::from("exists"),
                right: Vec::new(),
            });
        }
        Ok(Node::Filter {
            left: self.action(left)?,
            operator: after[..after.len() - right.len()].to_owned(),
            right: self.action(right)?,
        })
    }
}

fn slice(text: &str) -> Result<Slice, JsonPathError> {
    let parts: Vec<&str> = text.split(':').collect();
    let digits = |part: &str| {
        let part = part.strip_prefix('-').unwrap_or(part);
        part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if parts.len() > 3 || !parts.iter().all(|part| digits(part)) {
        return error(format!("invalid array index {text}"));
    }
    let number = |index: usize| match parts.get(index) {
        None | Some(&"") => Ok(None),
        Some(part) => match part.parse::<i64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => error(format!("array index {part} is not a number")),
        },
    };
    let start = number(0)?;
    let derived = parts.len() == 1;
    let end = if derived {
        Some(start.unwrap_or(0).saturating_add(1))
    } else {
        number(1)?
    };
    Ok(Slice {
        start,
        end,
        derived,
        step: number(2)?,
    })
}

fn is_terminator(c: char) -> bool {
    " \t\r\n.,[]$@{}".contains(c)
}
