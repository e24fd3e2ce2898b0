//! YAML as `sigs.k8s.io/yaml` reads and writes it: by conversion to and from JSON.

mod emit;
mod plain;

use serde_json::Value;

use crate::{ParseError, Parsed};

pub use emit::to_string;

/// Limit of nested lists and maps in YAML.
///
/// Go's reader allows 10,000 (`max_flow_level`, `max_indents` of go-yaml). This one recurses and
/// needs 19 kB per level in debug builds: 19 MB of [`STACK_SIZE`](crate::STACK_SIZE).
pub const MAX_DEPTH: usize = 1_000;

/// Limit of parser events from aliases: a quarter of the number up to which go-yaml ignores their
/// ratio (`alias_ratio_range_low`), because each costs 2.5 µs and 400 bytes here.
const MAX_ALIASED: usize = 100_000;

/// Limit of parser events from aliases per byte of text. go-yaml allows 99 for each node, and the
/// shortest nodes have two bytes.
const ALIASED_PER_BYTE: usize = 50;

/// Parser events from aliases that every text may have, as in go-yaml.
const MIN_ALIASED: usize = 1_000;

/// Limit of bytes that aliases may add to a text.
const MAX_ALIASED_BYTES: usize = 16 << 20;

/// Limit of values in a text, keys included. Parsing takes 10 µs and 1 kB for each; a request may take a
/// second of CPU time and 64 MiB. kubectl sends JSON.
const MAX_VALUES: usize = 80_000;

/// Limit of the number of merge keys times the number of values: each merge key may copy all
/// current values, at 2.5 µs and 300 bytes per value.
const MAX_MERGED: usize = 100_000;

/// Parses the first document of a text, as YAML 1.1.
///
/// The last value of a repeated key wins; `duplicates` reports the first repeated key as `line 4:
/// key "s" already set in map`.
///
/// # Errors
///
/// On bad syntax, on nesting beyond [`MAX_DEPTH`], on aliases or merge keys that expand the text
/// beyond the limits, on more than 80,000 values, and as [`parse`](crate::parse). The messages
/// differ from Go's.
pub fn parse(input: &[u8]) -> Result<Parsed, ParseError> {
    let text = first_document(input)?;
    if text.trim().is_empty() {
        return Ok(Parsed {
            value: Value::Null,
            duplicates: Vec::new(),
        });
    }
    let (value, repeated) = tree(text)?;
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

/// The tree, and the first repeated key.
fn tree(text: &str) -> Result<(Value, Option<String>), ParseError> {
    let read = |policy| serde_saphyr::from_str_with_options(text, options(text, policy));
    let strict: Result<Value, _> = read(serde_saphyr::DuplicateKeyPolicy::Error);
    let error = match strict {
        Ok(value) => return Ok((value, None)),
        Err(error) => error,
    };
    let Some(repeated) = duplicate(&error) else {
        return Err(convert_error(&error));
    };
    let lenient = read(serde_saphyr::DuplicateKeyPolicy::LastWins);
    let value = lenient.map_err(|error| convert_error(&error))?;
    Ok((value, Some(repeated)))
}

/// The text up to a second `---`; Go ignores the rest as well.
fn first_document(input: &[u8]) -> Result<&str, ParseError> {
    let text = std::str::from_utf8(input).map_err(|_| syntax("invalid leading UTF-8 octet"))?;
    let mut begun = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let marker = line.trim_end() == "---" || line.starts_with("--- ");
        if marker && begun {
            return Ok(&text[..at]);
        }
        let empty = line.trim().is_empty() || line.starts_with(['#', '%']);
        begun = begun || marker || !empty;
        at += line.len();
    }
    Ok(text)
}

fn options(text: &str, duplicates: serde_saphyr::DuplicateKeyPolicy) -> serde_saphyr::Options {
    let aliased = text.len().saturating_mul(ALIASED_PER_BYTE);
    let aliased = aliased.clamp(MIN_ALIASED, MAX_ALIASED);
    // A merge key is `<<`. The tag `!!merge` is not supported.
    let is_key = |at: usize| {
        text[at + 2..]
            .trim_start_matches([' ', '\t'])
            .starts_with(':')
    };
    let finds = memchr::memmem::find_iter(text.as_bytes(), b"<<");
    let merges = finds.filter(|at| is_key(*at)).count();
    let merged = MAX_MERGED.checked_div(merges).unwrap_or(usize::MAX);
    serde_saphyr::options! {
        duplicate_keys: duplicates,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: merged.min(MAX_VALUES),
            max_merge_keys: merges,
            max_recorded_anchor_events: MAX_ALIASED,
            max_total_scalar_bytes: text.len() + MAX_ALIASED_BYTES,
            // The other limits bound the cost of aliases, so their ratio to anchors is not limited.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: aliased.min(merged) },
    }
}

fn syntax(reason: &str) -> ParseError {
    ParseError::Syntax(format!("yaml: {reason}"))
}

fn convert_error(error: &serde_saphyr::Error) -> ParseError {
    let text = error.without_snippet().to_string();
    // Go's message for the most common mistake; it names the line only from the second line on.
    let Some(place) = text.strip_prefix("mapping values are not allowed in this context at line ")
    else {
        return syntax(&text);
    };
    let line = place.split(',').next().unwrap_or_default();
    let at = if line == "1" {
        String::new()
    } else {
        format!("line {line}: ")
    };
    syntax(&format!(
        "{at}mapping values are not allowed in this context"
    ))
}

fn duplicate(error: &serde_saphyr::Error) -> Option<String> {
    match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key, location } => Some(format!(
            "line {}: key {:?} already set in map",
            location.line(),
            key.as_deref().unwrap_or_default()
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
