//! Connection strings of PostgreSQL, which usually contain a password.

use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;

/// A libpq connection string, as URL or as `key=value`: passed on, never printed.
#[derive(Clone)]
pub struct Dsn(String);

impl FromStr for Dsn {
    type Err = String;

    /// Accepts any text but the empty one, because the driver validates it. The error must not
    /// quote the text.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("must be postgres://USER@HOST/DATABASE, or KEY=VALUE…".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl AsRef<OsStr> for Dsn {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Dsn")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dsn_debug_output_is_redacted() {
        let dsn: Dsn = "postgres://u:s3cret@h/db".parse().unwrap();
        assert_eq!(format!("{dsn:?}"), "Dsn");
        let error = " ".parse::<Dsn>().unwrap_err();
        assert!(error.contains("postgres://USER@HOST/DATABASE"), "{error}");
    }
}
