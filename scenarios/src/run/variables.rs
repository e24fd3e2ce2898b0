//! `${name}` in requests, bodies and command lines.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::capture::Capture;

/// Values by name.
#[derive(Clone, Debug)]
pub struct Variables(HashMap<String, String>);

impl Variables {
    /// Variables with `${NS}`, the scenario's namespace, set.
    #[must_use]
    pub fn new(namespace: &str) -> Self {
        Self(HashMap::from([("NS".to_owned(), namespace.to_owned())]))
    }

    /// Sets or replaces a value.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Replaces every `${name}`; `${text*count}` repeats a text.
    ///
    /// # Errors
    /// If a name is not set.
    pub fn fill(&self, text: &str) -> Result<String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (value, after) = self.value(after)?;
            filled.push_str(before);
            filled.push_str(&value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// The value of the variable at the start of `text`, and the text after its closing brace. A
    /// repeated text may contain braces.
    fn value<'t>(&self, text: &'t str) -> Result<(String, &'t str)> {
        for (at, _) in text.match_indices('}') {
            let (name, after) = (&text[..at], &text[at + 1..]);
            if let Some(value) = self.0.get(name) {
                return Ok((value.clone(), after));
            }
            let repeated = name.rsplit_once('*');
            if let Some((piece, Ok(count))) = repeated.map(|(t, n)| (t, n.parse::<usize>())) {
                return Ok((piece.repeat(count), after));
            }
        }
        bail!(
            "variable is not set: ${{{}",
            text.chars().take(40).collect::<String>()
        )
    }

    /// Fills in all strings and keys of a JSON value.
    ///
    /// # Errors
    /// If a name is not set.
    pub fn fill_value(&self, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(text)?),
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.fill_value(item))
                    .collect::<Result<_>>()?,
            ),
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(key, value)| Ok((self.fill(key)?, self.fill_value(value)?)))
                    .collect::<Result<_>>()?,
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    /// Sets a variable from `source` (JSON pointer, `header:Name` or `stdout`) of a response.
    ///
    /// # Errors
    /// If the response has no such part.
    pub fn save(&mut self, name: &str, source: &str, capture: &Capture) -> Result<()> {
        let value = if let Some(header) = source.strip_prefix("header:") {
            let head = capture.head.as_ref().context("no HTTP response")?;
            let mut headers = head.headers.iter();
            headers
                .find(|(key, _)| key.eq_ignore_ascii_case(header))
                .map(|(_, v)| v.clone())
        } else if source == "stdout" {
            Some(capture.text().trim_end().to_owned())
        } else {
            let body: Value =
                serde_json::from_slice(&capture.out).context("the response is not JSON")?;
            body.pointer(source)
                .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
        };
        let value = value.with_context(|| format!("the response has no {source}"))?;
        self.set(name, &value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Variables;

    #[test]
    fn variables_are_filled_in() {
        let mut variables = Variables::new("ns-1");
        variables.set("rv", "7");
        let check = |text: &str, filled: &str| assert_eq!(variables.fill(text).unwrap(), filled);
        check("/${NS}/a?rv=${rv}&x", "/ns-1/a?rv=7&x");
        check("${ab*3}$", "ababab$");
        check("[${{},*2}]", "[{},{},]");
        assert!(variables.fill("${missing}").is_err());
    }
}
