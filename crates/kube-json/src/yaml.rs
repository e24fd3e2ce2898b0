//! YAML as `sigs.k8s.io/yaml` reads and writes it: through JSON.

mod emit;
mod plain;

use serde_json::Value;

use crate::{MAX_DEPTH, Parsed};

pub use emit::to_string;

/// Why a text is no YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("yaml: {0}")]
pub struct YamlError(String);

/// Reads the first document of a text, as YAML 1.1.
///
/// Of a repeated key the last one counts; `duplicates` says so as `line 4: key "s" already set in
/// map`, for the first repeated key.
///
/// # Errors
///
/// On bad syntax, on nesting beyond [`MAX_DEPTH`], and on aliases that blow a text up. The words
/// differ from Go's.
pub fn parse(input: &[u8]) -> Result<Parsed, YamlError> {
    let text = first_document(input)?;
    if text.trim().is_empty() {
        return Ok(Parsed {
            value: Value::Null,
            duplicates: Vec::new(),
        });
    }
    let lenient = serde_saphyr::DuplicateKeyPolicy::LastWins;
    let value: Value = serde_saphyr::from_str_with_options(text, options(lenient))
        .map_err(|error| said(&error))?;
    // Through JSON, as in Go: that is what decides which numbers are integers.
    let mut parsed = crate::parse(&crate::to_vec(&value)).map_err(|error| YamlError(error.0))?;
    let strict = options(serde_saphyr::DuplicateKeyPolicy::Error);
    if let Err(error) = serde_saphyr::from_str_with_options::<Value>(text, strict) {
        parsed.duplicates.extend(duplicate(&error));
    }
    Ok(parsed)
}

/// The text up to a second `---`; Go reads no further either.
fn first_document(input: &[u8]) -> Result<&str, YamlError> {
    let text = std::str::from_utf8(input)
        .map_err(|_| YamlError(String::from("invalid leading UTF-8 octet")))?;
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

fn options(duplicates: serde_saphyr::DuplicateKeyPolicy) -> serde_saphyr::Options {
    serde_saphyr::options! {
        duplicate_keys: duplicates,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
    }
}

fn said(error: &serde_saphyr::Error) -> YamlError {
    let text = error.without_snippet().to_string();
    // Go's words for the most common mistake; it tells the line from the second one on.
    let Some(place) = text.strip_prefix("mapping values are not allowed in this context at line ")
    else {
        return YamlError(text);
    };
    let line = place.split(',').next().unwrap_or_default();
    let at = if line == "1" {
        String::new()
    } else {
        format!("line {line}: ")
    };
    YamlError(format!(
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
