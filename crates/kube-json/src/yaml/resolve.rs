//! The type of a scalar (`resolve` of go-yaml v2).

use super::nodes::Scalar;
use super::syntax;
use crate::ParseError;

/// A scalar with its type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Resolved {
    Null,
    Bool(bool),
    Integer(i64),
    /// Above the range of i64.
    Unsigned(u64),
    Float(f64),
    Text(String),
}

const BOOLEANS: [(bool, [&str; 11]); 2] = [
    (
        true,
        [
            "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
        ],
    ),
    (
        false,
        [
            "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF",
        ],
    ),
];

const NULLS: [&str; 5] = ["", "~", "null", "Null", "NULL"];

const INFINITIES: [&str; 9] = [
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];

/// Determines the type of a scalar.
///
/// # Errors
/// If the text does not have the type of its tag.
pub(super) fn resolve(scalar: &Scalar) -> Result<Resolved, ParseError> {
    let text = scalar.text.as_str();
    let kept = || Ok(Resolved::Text(text.to_owned()));
    let Some(tag) = scalar.tag.as_deref() else {
        return Ok(if scalar.plain {
            plain(text)
        } else {
            Resolved::Text(text.to_owned())
        });
    };
    let wrong = |found: &str| {
        let reason = format!("cannot decode {found} `{text}` as a {tag}");
        Err(syntax(&reason))
    };
    match tag {
        "!!binary" => match base64(text) {
            Some(bytes) => Ok(Resolved::Text(String::from_utf8_lossy(&bytes).into_owned())),
            None => Err(syntax("!!binary value contains invalid base64 data")),
        },
        "!!timestamp" if is_timestamp(text) => kept(),
        "!!timestamp" | "!!bool" | "!!int" | "!!float" | "!!null" => match (tag, plain(text)) {
            ("!!float", Resolved::Integer(integer)) => Ok(Resolved::Float(integer as f64)),
            (tag, found) if found.tag() == tag => Ok(found),
            (_, found) => wrong(found.tag()),
        },
        _ => kept(),
    }
}

/// The type of a text without quotes. Texts that look like times are texts.
fn plain(text: &str) -> Resolved {
    let kept = || Resolved::Text(text.to_owned());
    if NULLS.contains(&text) {
        return Resolved::Null;
    }
    for (value, names) in BOOLEANS {
        // bounded: eleven names
        if names.contains(&text) {
            return Resolved::Bool(value);
        }
    }
    if INFINITIES.contains(&text) {
        let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
        return Resolved::Float(f64::INFINITY * sign);
    }
    match text.as_bytes()[0] {
        b'.' if matches!(text, ".nan" | ".NaN" | ".NAN") => Resolved::Float(f64::NAN),
        // Go accepts an underscore between two digits here.
        b'.' if underscores_separate_digits(text) => {
            float(&text.replace('_', "")).map_or_else(kept, Resolved::Float)
        }
        b'+' | b'-' | b'0'..=b'9' => number(&text.replace('_', "")).unwrap_or_else(kept),
        _ => kept(),
    }
}

/// A number whose underscores are removed.
fn number(text: &str) -> Option<Resolved> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if let Some(size) = unsigned(digits) {
        let signed = if negative {
            0i64.checked_sub_unsigned(size)
        } else {
            i64::try_from(size).ok()
        };
        if let Some(integer) = signed {
            return Some(Resolved::Integer(integer));
        }
        // Go's parser of unsigned integers takes no sign.
        if digits.len() == text.len() {
            return Some(Resolved::Unsigned(size));
        }
    }
    float(text).map(Resolved::Float)
}

/// An integer with Go's prefixes of base 2, 8 and 16; a leading zero means base 8.
fn unsigned(digits: &str) -> Option<u64> {
    let parse = |digits: &str, radix| {
        let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        u64::from_str_radix(digits, radix).ok().filter(|_| plain)
    };
    let prefixed = digits.get(..2).map(str::to_ascii_lowercase);
    match prefixed.as_deref() {
        Some("0x") => parse(&digits[2..], 16),
        Some("0b") => parse(&digits[2..], 2),
        Some("0o") => parse(&digits[2..], 8),
        Some(_) if digits.starts_with('0') => parse(&digits[1..], 8),
        _ => parse(digits, 10),
    }
}

/// A decimal number that fits a float64: digits, at most one point, an exponent.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|it| {
        let digits = it.strip_prefix(['+', '-']).unwrap_or(it);
        !digits.is_empty() && is_digits(digits)
    });
    let mantissa_fits =
        is_digits(whole) && is_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    if !mantissa_fits || !exponent_fits {
        return None;
    }
    // A number out of range is a text.
    text.parse().ok().filter(|float: &f64| float.is_finite())
}

fn underscores_separate_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| {
        let byte = at.and_then(|at| bytes.get(at));
        byte.is_some_and(u8::is_ascii_digit)
    };
    let mut underscores = memchr::memchr_iter(b'_', bytes);
    underscores.all(|at| digit(at.checked_sub(1)) && digit(Some(at + 1)))
}

/// Whether a text is a time in one of the formats that go-yaml accepts: a date, or a date and a time
/// with `T` and a zone, or with a space and no zone.
fn is_timestamp(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((text.as_bytes()[at], &text[at + 1..]))),
        None => (text, None),
    };
    let parts: Vec<Option<u32>> = date.split('-').map(short_number).collect();
    let [Some(year), Some(month), Some(day)] = parts[..] else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    let is_date = date.find('-') == Some(4)
        && date.split('-').skip(1).all(|part| part.len() <= 2)
        && (1..=days).contains(&day);
    is_date
        && match time {
            None => true,
            Some((b' ', clock)) => is_clock(clock),
            Some((_, rest)) => {
                let zone = rest.find(['Z', '+', '-']);
                zone.is_some_and(|at| is_clock(&rest[..at]) && is_zone(&rest[at..]))
            }
        }
}

/// `15:4:5.9`.
fn is_clock(text: &str) -> bool {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let below = |part: &str, limit| {
        part.len() <= 2 && short_number(part).is_some_and(|number| number < limit)
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts[..], [hour, minute, second] if below(hour, 24) && below(minute, 60) && below(second, 60))
        && fraction.is_none_or(digits)
}

/// `Z` or `+01:00`.
fn is_zone(text: &str) -> bool {
    let two = |part: &str| part.len() == 2 && short_number(part).is_some();
    text == "Z"
        || text[1..]
            .split_once(':')
            .is_some_and(|(hours, minutes)| !text.starts_with('Z') && two(hours) && two(minutes))
}

/// A number of one to four digits.
fn short_number(text: &str) -> Option<u32> {
    let fits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

/// Decodes base64 of the standard alphabet with padding, ignoring line breaks.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !b"\r\n".contains(byte))
        .collect();
    let padding = digits
        .iter()
        .rev()
        .take_while(|byte| **byte == b'=')
        .count();
    if !digits.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in &digits[..digits.len() - padding] {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

impl Resolved {
    /// The tag of the type.
    const fn tag(&self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Integer(_) | Self::Unsigned(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Text(_) => "!!str",
        }
    }
}
