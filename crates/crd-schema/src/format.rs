//! `format` of strings and numbers.

use crate::structural::Kind;

/// Formats of strings that are checked, without their dashes.
const STRINGS: [&str; 26] = [
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// Whether a format means something for a type.
#[must_use]
pub fn recognized(kind: Option<Kind>, format: &str) -> bool {
    match kind {
        None | Some(Kind::String) => {
            let normal = format.replace('-', "");
            STRINGS.contains(&normal.as_str())
        }
        Some(Kind::Integer) => matches!(format, "int32" | "int64"),
        Some(Kind::Number) => matches!(format, "float" | "double"),
        Some(Kind::Array | Kind::Boolean | Kind::Object) => false,
    }
}
