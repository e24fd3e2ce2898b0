//! `format` of strings and numbers.

mod text;
mod time;

use crate::kind::Kind;

/// String formats that are checked, without their dashes: those of kube-openapi's default registry.
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

/// Whether a format applies to a type.
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

/// Whether a text has a recognized format; dashes in the format's name are ignored.
#[must_use]
pub fn is_valid(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        "uri" => text::uri(text),
        "email" => text::email(text),
        "hostname" => text::hostname(text),
        "ipv4" => text::ipv4(text),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => text::cidr(text),
        "mac" => text::mac(text),
        "uuid" => text::uuid(text, None),
        "uuid3" => text::uuid(text, Some(b'3')),
        "uuid4" => text::uuid(text, Some(b'4')),
        "uuid5" => text::uuid(text, Some(b'5')),
        "isbn" => text::isbn10(text) || text::isbn13(text),
        "isbn10" => text::isbn10(text),
        "isbn13" => text::isbn13(text),
        "creditcard" => text::credit_card(text),
        "ssn" => text::ssn(text),
        "hexcolor" => text::hex_color(text),
        "rgbcolor" => text::rgb_color(text),
        "byte" => text::base64(text),
        "date" => time::date(text),
        "datetime" => time::date_time(text),
        "duration" => time::duration(text),
        "k8sshortname" => api_types::names::dns1123_label(text).is_empty(),
        "k8slongname" => api_types::names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}
