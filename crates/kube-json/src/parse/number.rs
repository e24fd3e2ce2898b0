//! Numbers: i64 if the text is an integer that fits, float64 otherwise.

use serde_json::{Number, Value};

use super::Parser;
use crate::error::ParseError;

impl Parser<'_> {
    /// Parses a number; the current byte is a digit or a minus.
    pub(super) fn number(&mut self) -> Result<Value, ParseError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        let mut integer = true;
        if self.peek() == Some(b'.') {
            integer = false;
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        let text = &self.text[start..self.at];
        if integer && let Ok(number) = text.parse::<i64>() {
            return Ok(Value::Number(number.into()));
        }
        Ok(Value::Number(self.float(text)))
    }

    fn float(&mut self, text: &str) -> Number {
        // `from_f64` rejects infinities and NaN.
        if let Some(number) = text.parse().ok().and_then(Number::from_f64) {
            return number;
        }
        self.out_of_range.get_or_insert_with(|| {
            ParseError::Syntax(format!(
                "json: cannot unmarshal number {text} into Go value of type float64"
            ))
        });
        Number::from(0)
    }

    fn some_digits(&mut self, context: &str) -> Result<(), ParseError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected(context));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }
}
