//! Limits of request bodies per resource (docs/adr/0005-body-limit-annotation.md).

use api_types::field::{self, Path};
use serde_json::Value;

/// Annotation of a definition: the largest request body for its resource, in bytes or as a quantity
/// such as `16Mi`.
pub(super) const ANNOTATION: &str = "ark-apiserver.mckinsey.com/max-body-bytes";

/// Largest value of the annotation, bytes. `BodyLimits` in `serving/intake.rs` is derived from it.
pub(super) const MAXIMUM: usize = 32 << 20;

/// Value of the annotation.
#[derive(Debug, PartialEq)]
pub(super) enum BodyLimit {
    /// Absent.
    Unset,
    /// The limit, bytes.
    Bytes(usize),
    /// Invalid.
    Bad(field::Error),
}

/// Parses the annotation of a manifest.
pub(super) fn annotated(manifest: &Value) -> BodyLimit {
    let Some(value) = manifest["metadata"]["annotations"].get(ANNOTATION) else {
        return BodyLimit::Unset;
    };
    let bytes = value.as_str().and_then(quantity);
    match bytes {
        Some(bytes) if (1..=MAXIMUM).contains(&bytes) => BodyLimit::Bytes(bytes),
        _ => {
            let metadata = Path::new("metadata");
            let annotations = metadata.child("annotations");
            let detail = format!("must be a number of bytes from 1 to {MAXIMUM}, such as 16Mi");
            BodyLimit::Bad(field::Error::invalid(
                annotations.key(ANNOTATION),
                value,
                detail,
            ))
        }
    }
}

fn quantity(text: &str) -> Option<usize> {
    let (digits, factor) = match text.strip_suffix("Ki") {
        Some(digits) => (digits, 1 << 10),
        None => match text.strip_suffix("Mi") {
            Some(digits) => (digits, 1 << 20),
            None => (text, 1),
        },
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: Option<usize>) {
        let manifest = json!({"metadata": {"annotations": {ANNOTATION: text}}});
        let bytes = match annotated(&manifest) {
            BodyLimit::Bytes(bytes) => Some(bytes),
            _ => None,
        };
        assert_eq!(bytes, expected, "{text}");
    }

    #[test]
    fn body_limit_annotation_is_quantity() {
        check("3145728", Some(3 << 20));
        check("16Mi", Some(16 << 20));
        check("32Mi", Some(MAXIMUM));
        check("64Ki", Some(64 << 10));
        check("33Mi", None);
        check("0", None);
        check("many", None);
        check("99999999999999999999Mi", None);
        assert_eq!(annotated(&json!({"metadata": {}})), BodyLimit::Unset);
    }
}
