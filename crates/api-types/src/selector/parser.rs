//! Parses label selectors.

use std::collections::BTreeSet;

use super::SelectorError;
use super::lexer::{Item, Token, scan};
use super::requirement::{Operator, Requirement};

/// Parses all requirements, in the order of the text.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser {
        items: scan(text),
        at: 0,
    };
    parser.requirements().map_err(SelectorError)
}

struct Parser {
    items: Vec<Item>,
    at: usize,
}

/// Whether `in` and `notin` are operators or values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    KeyAndOperator,
    Values,
}

impl Parser {
    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut found = Vec::new();
        loop {
            match self.lookahead(Context::Values) {
                (Token::Identifier | Token::Not, _) => {
                    let requirement = self
                        .requirement()
                        .map_err(|error| format!("unable to parse requirement: {error}"))?;
                    found.push(requirement);
                }
                (Token::End, _) => return Ok(found),
                (_, text) => {
                    let wanted = "expected: !, identifier, or 'end of string'";
                    return Err(format!("found '{text}', {wanted}"));
                }
            }
            match self.consume(Context::Values) {
                (Token::End, _) => return Ok(found),
                (Token::Comma, _) => {
                    let (token, text) = self.lookahead(Context::Values);
                    if !matches!(token, Token::Identifier | Token::Not) {
                        return Err(format!("found '{text}', expected: identifier after ','"));
                    }
                }
                (_, text) => {
                    return Err(format!("found '{text}', expected: ',' or 'end of string'"));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.consume(Context::Values);
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.consume(Context::Values);
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        Requirement::check_key(&key)?;
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if let (Token::End | Token::Comma, _) = self.lookahead(Context::Values) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = if matches!(operator, Operator::In | Operator::NotIn) {
            self.values()?.into_iter().collect()
        } else {
            vec![self.value()?]
        };
        Requirement::new(key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, String> {
        Ok(match self.consume(Context::KeyAndOperator) {
            (Token::In, _) => Operator::In,
            (Token::NotIn, _) => Operator::NotIn,
            (Token::Equals, _) => Operator::Equals,
            (Token::DoubleEquals, _) => Operator::DoubleEquals,
            (Token::NotEquals, _) => Operator::NotEquals,
            (Token::Greater, _) => Operator::GreaterThan,
            (Token::Less, _) => Operator::LessThan,
            (_, text) => {
                return Err(format!(
                    "found '{text}', expected: in, notin, =, ==, !=, gt, lt"
                ));
            }
        })
    }

    /// The values of a set, `(a,b)`.
    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        let (token, text) = self.consume(Context::Values);
        if token != Token::Open {
            return Err(format!("found '{text}' expected: '('"));
        }
        match self.lookahead(Context::Values) {
            (Token::Identifier | Token::Comma, text) => {
                let values = self.identifiers()?;
                match self.consume(Context::Values) {
                    (Token::Close, _) => Ok(values),
                    _ => Err(format!("found '{text}', expected: ')'")),
                }
            }
            (Token::Close, _) => {
                self.consume(Context::Values);
                Ok(BTreeSet::from([String::new()]))
            }
            (_, text) => Err(format!("found '{text}', expected: ',', ')' or identifier")),
        }
    }

    /// Identifiers between commas, each possibly empty.
    fn identifiers(&mut self) -> Result<BTreeSet<String>, String> {
        let mut values = BTreeSet::new();
        loop {
            match self.consume(Context::Values) {
                (Token::Identifier, text) => {
                    values.insert(text);
                    match self.lookahead(Context::Values) {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    match self.lookahead(Context::Values) {
                        (Token::Close, _) => {
                            values.insert(String::new());
                            return Ok(values);
                        }
                        (Token::Comma, _) => {
                            values.insert(String::new());
                        }
                        _ => {}
                    }
                }
                (_, text) => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
    }

    /// The one value of `=`, `!=`, `>` and the like; it may be missing.
    fn value(&mut self) -> Result<String, String> {
        if let (Token::End | Token::Comma, _) = self.lookahead(Context::Values) {
            return Ok(String::new());
        }
        match self.consume(Context::Values) {
            (Token::Identifier, text) => Ok(text),
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }

    fn lookahead(&self, context: Context) -> Item {
        // No rule consumes the end token; the default keeps this total.
        let (token, text) = match self.items.get(self.at) {
            Some((token, text)) => (*token, text.clone()),
            None => (Token::End, String::new()),
        };
        match token {
            Token::In | Token::NotIn if context == Context::Values => (Token::Identifier, text),
            _ => (token, text),
        }
    }

    fn consume(&mut self, context: Context) -> Item {
        let item = self.lookahead(context);
        self.at += 1;
        item
    }
}
