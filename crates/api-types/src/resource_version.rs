//! The `resourceVersion` of a request: unset, `0`, or a revision.
//!
//! Every verb treats the three differently, so they are distinct variants instead of one number.

use crate::field;
use crate::revision::Revision;

/// The `resourceVersion` of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResourceVersion {
    /// Unset: the most recent state.
    #[default]
    Unset,
    /// `0`: any state in the cache.
    Any,
    /// A revision.
    Number(Revision),
}

impl ResourceVersion {
    /// Parses a query parameter or `metadata.resourceVersion`. Leading zeros are accepted, as in
    /// kube-apiserver.
    ///
    /// # Errors
    ///
    /// The field error of kube-apiserver. The response depends on the verb: a 400 for a list
    /// ([`invalid_for_list`]), a plain 500 for get and watch.
    pub fn parse(text: &str) -> Result<Self, field::Error> {
        if text.is_empty() {
            return Ok(Self::Unset);
        }
        let number = parse_uint(text)
            .map_err(|error| field::Error::invalid("resourceVersion", text, error))?;
        Ok(Revision::new(number).map_or(Self::Any, Self::Number))
    }

    /// The revision, if one was given.
    #[must_use]
    pub const fn revision(self) -> Option<Revision> {
        match self {
            Self::Number(revision) => Some(revision),
            Self::Unset | Self::Any => None,
        }
    }
}

/// The message of the 400 for a list with a malformed resource version.
#[must_use]
pub fn invalid_for_list(error: &field::Error) -> String {
    format!("invalid resource version: {error}")
}

/// Go's `strconv.ParseUint`, with its error messages.
fn parse_uint(text: &str) -> Result<u64, String> {
    let shown = || crate::go_text::quote(text);
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "strconv.ParseUint: parsing {}: invalid syntax",
            shown()
        ));
    }
    text.parse()
        .map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", shown()))
}

#[cfg(test)]
mod tests {
    use super::{ResourceVersion, invalid_for_list};
    use crate::revision::Revision;

    #[test]
    fn resource_version_is_unset_any_or_number() {
        let number = |n| Revision::new(n).map(ResourceVersion::Number);
        for (text, want) in [
            ("", Some(ResourceVersion::Unset)),
            ("0", Some(ResourceVersion::Any)),
            ("00", Some(ResourceVersion::Any)),
            ("01", number(1)),
            ("9223372036854775807", number(i64::MAX as u64)),
            ("18446744073709551615", number(u64::MAX)),
        ] {
            assert_eq!(ResourceVersion::parse(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn errors_are_those_of_strconv() {
        for (text, why) in [
            ("abc", "invalid syntax"),
            ("-1", "invalid syntax"),
            ("+1", "invalid syntax"),
            ("18446744073709551616", "value out of range"),
        ] {
            let error = ResourceVersion::parse(text).expect_err(text);
            assert_eq!(
                invalid_for_list(&error),
                format!(
                    "invalid resource version: resourceVersion: Invalid value: \"{text}\": \
                     strconv.ParseUint: parsing \"{text}\": {why}"
                )
            );
        }
    }
}
