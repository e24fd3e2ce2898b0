//! Query parameters, converted as Kubernetes converts them.

use crate::go_text::quote;
use crate::status::ApiError;

/// The decoded parameters of a query, in order.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn new(query: &str) -> Self {
        // Go ignores a pair that contains a semicolon.
        let pairs = query.split('&').filter(|pair| !pair.contains(';'));
        let pairs = pairs.flat_map(|pair| form_urlencoded::parse(pair.as_bytes()));
        Self(
            pairs
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    /// The first value; `None` if the parameter is absent.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(name, _)| name == key)?;
        Some(value)
    }

    /// The first value, or the empty text.
    pub(super) fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// All values.
    pub(super) fn all(&self, key: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(name, _)| name == key);
        values.map(|(_, value)| value.clone()).collect()
    }

    /// Only `0` and `false` are false; an empty value is true.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        Some(value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// An int64; 400 with Go's message if it is malformed.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
        let syntax = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        value.parse().map(Some).map_err(|_| {
            let why = if syntax {
                "value out of range"
            } else {
                "invalid syntax"
            };
            ApiError::bad_request(format!("strconv.ParseInt: parsing {}: {why}", quote(value)))
        })
    }
}
