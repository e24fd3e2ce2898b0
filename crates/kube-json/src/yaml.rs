//! YAML as `sigs.k8s.io/yaml` reads and writes it: by conversion to and from JSON.

mod decode;
mod emit;
mod nodes;
mod plain;
mod resolve;

use serde_json::Value;

use crate::{ParseError, Parsed};
use decode::Allowance;
use nodes::Nodes;

pub use emit::to_string;

/// Limit of nested lists and maps in YAML, and of aliases within aliases.
///
/// Go's reader allows 10,000 (`max_flow_level`, `max_indents` of go-yaml). Decoding recurses here.
pub const MAX_DEPTH: usize = 1_000;

/// Limit of values from aliases: a quarter of the number up to which go-yaml ignores their ratio
/// (`alias_ratio_range_low`).
const MAX_ALIASED: usize = 100_000;

/// Limit of values from aliases per byte of text. go-yaml allows 99 for each node, and the
/// shortest nodes have two bytes.
const ALIASED_PER_BYTE: usize = 50;

/// Values from aliases that every text may have, as in go-yaml.
const MIN_ALIASED: usize = 1_000;

/// Limit of bytes that aliases may add to a text.
const MAX_ALIASED_BYTES: usize = 16 << 20;

/// Limit of values in a text, keys included. A request may take a second of CPU time and 64 MiB.
/// kubectl sends JSON.
const MAX_VALUES: usize = 80_000;

/// Parses the first document of a text, as YAML 1.1.
///
/// The last value of a repeated key wins; `duplicates` reports repeated keys as `line 4: key "s"
/// already set in map`, at most 100.
///
/// # Errors
///
/// On bad syntax, on nesting beyond [`MAX_DEPTH`], on aliases that expand the text beyond the
/// limits, on more than 80,000 values, and as [`parse`](crate::parse). The messages are those of
/// go-yaml for common mistakes.
pub fn parse(input: &[u8]) -> Result<Parsed, ParseError> {
    let text = std::str::from_utf8(input).map_err(|_| syntax("invalid leading UTF-8 octet"))?;
    let (value, repeated) = match Nodes::read(text)? {
        Some(nodes) => decode::decode(&nodes, allowance(text))?,
        None => (Value::Null, Vec::new()),
    };
    // Converts through JSON, as Go does, because that decides which numbers are integers.
    let json = crate::to_vec(&value);
    drop(value);
    let mut parsed = crate::parse(&json).map_err(|error| match error {
        ParseError::Syntax(reason) => syntax(&reason),
        error @ ParseError::TooLarge { .. } => error,
    })?;
    parsed.duplicates.extend(repeated);
    Ok(parsed)
}

/// What aliases may add to a text.
fn allowance(text: &str) -> Allowance {
    let values = text.len().saturating_mul(ALIASED_PER_BYTE);
    Allowance {
        values: values.clamp(MIN_ALIASED, MAX_ALIASED),
        bytes: MAX_ALIASED_BYTES,
    }
}

fn syntax(reason: &str) -> ParseError {
    ParseError::Syntax(format!("yaml: {reason}"))
}

#[cfg(test)]
mod tests;
