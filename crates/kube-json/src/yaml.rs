//! YAML as `sigs.k8s.io/yaml` reads and writes it: through JSON.

mod emit;
mod plain;

use serde_json::Value;

use crate::{ParseError, Parsed};

pub use emit::to_string;

/// Most lists and maps inside of each other in YAML.
///
/// Go's reader has 10,000 (`max_flow_level`, `max_indents` of go-yaml). Ours recurses and needs 19 kB
/// per level in debug builds: 19 MB of [`STACK_SIZE`](crate::STACK_SIZE).
pub const MAX_DEPTH: usize = 1_000;

/// Most parser events that aliases may add: a quarter of what go-yaml decodes without looking at their
/// share (`alias_ratio_range_low`), because one costs 2.5 us and 400 bytes here.
const MAX_ALIASED: usize = 100_000;

/// Parser events that aliases may add for each byte of a text. go-yaml allows 99 for each node, of
/// which the shortest have two bytes.
const ALIASED_PER_BYTE: usize = 50;

/// Parser events that aliases may add to any text, as in go-yaml.
const MIN_ALIASED: usize = 1_000;

/// Most bytes that aliases may add to a text.
const MAX_ALIASED_BYTES: usize = 16 << 20;

/// Most values of a text, keys included. The library takes 10 us and 1 kB for each; a request may take a
/// second and 64 MiB. kubectl sends JSON.
const MAX_VALUES: usize = 80_000;

/// Most merge keys of a text, times its values: each of them may take all values in hand, which costs
/// 2.5 us and 300 bytes for one.
const MAX_MERGED: usize = 100_000;

/// Reads the first document of a text, as YAML 1.1.
///
/// Of a repeated key the last one counts; `duplicates` says so as `line 4: key "s" already set in
/// map`, for the first repeated key.
///
/// # Errors
///
/// On bad syntax, on nesting beyond [`MAX_DEPTH`], on aliases or merge keys that blow a text up, on more
/// than 80,000 values, and as [`parse`](crate::parse). The words differ from Go's.
pub fn parse(input: &[u8]) -> Result<Parsed, ParseError> {
    let text = first_document(input)?;
    if text.trim().is_empty() {
        return Ok(Parsed {
            value: Value::Null,
            duplicates: Vec::new(),
        });
    }
    let (value, repeated) = tree(text)?;
    // Through JSON, as in Go: that is what decides which numbers are integers.
    let json = crate::to_vec(&value);
    drop(value);
    let mut parsed = crate::parse(&json).map_err(|error| match error {
        ParseError::Syntax(reason) => syntax(&reason),
        error @ ParseError::TooLarge { .. } => error,
    })?;
    parsed.duplicates.extend(repeated);
    Ok(parsed)
}

/// The tree, and the first key that is repeated.
fn tree(text: &str) -> Result<(Value, Option<String>), ParseError> {
    let read = |policy| serde_saphyr::from_str_with_options(text, options(text, policy));
    let strict: Result<Value, _> = read(serde_saphyr::DuplicateKeyPolicy::Error);
    let error = match strict {
        Ok(value) => return Ok((value, None)),
        Err(error) => error,
    };
    let Some(repeated) = duplicate(&error) else {
        return Err(said(&error));
    };
    let lenient = read(serde_saphyr::DuplicateKeyPolicy::LastWins);
    let value = lenient.map_err(|error| said(&error))?;
    Ok((value, Some(repeated)))
}

/// The text up to a second `---`; Go reads no further either.
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
    // A merge key is `<<`, or has the tag `!!merge`, which is not supported here.
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
            // An anchor may be used as often as one likes.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: aliased.min(merged) },
    }
}

fn syntax(reason: &str) -> ParseError {
    ParseError::Syntax(format!("yaml: {reason}"))
}

fn said(error: &serde_saphyr::Error) -> ParseError {
    let text = error.without_snippet().to_string();
    // Go's words for the most common mistake; it tells the line from the second one on.
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
