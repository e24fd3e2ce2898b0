//! String formats except times, as kube-openapi's `strfmt` checks them.

/// An absolute URI, as accepted by Go's `url.ParseRequestURI`.
pub(super) fn uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return false;
    }
    if text == "*" || text.starts_with('/') {
        return escapes(text);
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    scheme_fits && (!rest.starts_with('/') || authority(rest)) && escapes(rest)
}

/// Whether the host has no space and the port is a number.
fn authority(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix("//") else {
        return true;
    };
    let host = rest.split(['/', '?']).next().unwrap_or("");
    let host = host.rsplit('@').next().unwrap_or("");
    let port = match host.rfind(']') {
        Some(end) => &host[end + 1..],
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    let port_fits = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    port_fits && !host.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '}', '|'])
}

fn escapes(text: &str) -> bool {
    let path = text.split('?').next().unwrap_or("");
    path.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// A mail address, with or without a display name (Go's `mail.ParseAddress`).
pub(super) fn email(text: &str) -> bool {
    let address = match text.trim().strip_suffix('>') {
        Some(rest) => rest.rsplit_once('<').map(|(_, address)| address),
        None => Some(text.trim()),
    };
    let Some((local, domain)) = address.and_then(|address| address.rsplit_once('@')) else {
        return false;
    };
    let atom =
        |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let dotted = |text: &str| {
        text.split('.')
            .all(|part| !part.is_empty() && part.chars().all(atom))
    };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    (dotted(local) || quoted) && dotted(domain)
}

/// One label, or several of which the last consists of letters.
pub(super) fn hostname(text: &str) -> bool {
    let letter = |c: char| c.is_alphabetic();
    let inside = |c: char| c.is_ascii_alphanumeric() || c.is_alphabetic();
    let label = |label: &str| {
        let fits = label.chars().all(|c| inside(c) || c == '-');
        let ends = !label.starts_with('-') && !label.ends_with('-');
        fits && ends && (1..=63).contains(&label.chars().count())
    };
    let parts: Vec<&str> = text.split('.').collect();
    let top = |label: &str| (2..=63).contains(&label.chars().count()) && label.chars().all(letter);
    let Some((last, others)) = parts.split_last() else {
        return false;
    };
    text.len() <= 255
        && if others.is_empty() {
            label(last)
        } else {
            others.iter().all(|part| label(part)) && top(last)
        }
}

/// Four numbers; leading zeros are accepted.
pub(super) fn ipv4(text: &str) -> bool {
    let number = |part: &str| {
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        digits && part.parse::<u32>().is_ok_and(|number| number <= 255)
    };
    text.split('.').count() == 4 && text.split('.').all(number)
}

pub(super) fn cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let most = if ipv4(address) {
        32
    } else if address.parse::<std::net::Ipv6Addr>().is_ok() {
        128
    } else {
        return false;
    };
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    digits && bits.parse::<u32>().is_ok_and(|bits| bits <= most)
}

/// 6, 8 or 20 bytes, joined by colons or dashes, or in pairs by dots (Go's `net.ParseMAC`).
pub(super) fn mac(text: &str) -> bool {
    let groups = |separator: char, digits: usize, counts: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        let hex =
            |part: &&str| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        counts.contains(&parts.len()) && parts.iter().all(hex)
    };
    groups(':', 2, &[6, 8, 20]) || groups('-', 2, &[6, 8, 20]) || groups('.', 4, &[3, 4, 10])
}

/// Each dash is optional.
pub(super) fn uuid(text: &str, version: Option<u8>) -> bool {
    let mut rest = text;
    for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some(group) = rest.as_bytes().get(..length) else {
            return false;
        };
        if !group.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
        let variant = matches!(version, Some(b'4' | b'5')) && index == 3;
        if (index == 2 && version.is_some_and(|version| group[0] != version))
            || (variant && !b"89abAB".contains(&group[0]))
        {
            return false;
        }
        rest = &rest[length..];
    }
    rest.is_empty()
}

fn digits(text: &str) -> String {
    text.chars().filter(|c| *c != '-' && *c != ' ').collect()
}

pub(super) fn isbn10(text: &str) -> bool {
    let text = digits(text);
    let mut sum = 0;
    for (index, byte) in text.bytes().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => usize::from(byte - b'0'),
            b'X' if index == 9 => 10,
            _ => return false,
        };
        sum += (index + 1) * digit;
    }
    text.len() == 10 && sum % 11 == 0
}

pub(super) fn isbn13(text: &str) -> bool {
    let text = digits(text);
    if text.len() != 13 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let weighted = text.bytes().enumerate().map(|(index, byte)| {
        let weight = if index % 2 == 0 { 1 } else { 3 };
        weight * u32::from(byte - b'0')
    });
    weighted.sum::<u32>() % 10 == 0
}

/// A number of a known issuer with a correct check digit.
pub(super) fn credit_card(text: &str) -> bool {
    let number: String = text.chars().filter(char::is_ascii_digit).collect();
    let issuer = match number.len() {
        13 => number.starts_with('4'),
        14 => ["36", "38", "300", "301", "302", "303", "304", "305"]
            .iter()
            .any(|prefix| number.starts_with(prefix)),
        15 => ["34", "37", "2131", "1800"]
            .iter()
            .any(|prefix| number.starts_with(prefix)),
        16 => {
            let prefixes = ["4", "51", "52", "53", "54", "55", "6011", "65", "35"];
            prefixes.iter().any(|prefix| number.starts_with(prefix))
        }
        _ => false,
    };
    let sum: u32 = number
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, byte)| {
            let digit = u32::from(byte - b'0');
            match (index % 2, digit * 2) {
                (0, _) => digit,
                (_, double) if double > 9 => double - 9,
                (_, double) => double,
            }
        })
        .sum();
    issuer && sum.is_multiple_of(10)
}

pub(super) fn ssn(text: &str) -> bool {
    let groups = |rest: &str| -> Option<usize> {
        let mut rest = rest;
        for (index, length) in [3, 2, 4].into_iter().enumerate() {
            if index > 0 {
                rest = rest.strip_prefix(['-', ' ']).unwrap_or(rest);
            }
            let group = rest.as_bytes().get(..length)?;
            if !group.iter().all(u8::is_ascii_digit) {
                return None;
            }
            rest = &rest[length..];
        }
        Some(rest.len())
    };
    groups(text) == Some(0)
}

pub(super) fn hex_color(text: &str) -> bool {
    let text = text.strip_prefix('#').unwrap_or(text);
    matches!(text.len(), 3 | 6) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn rgb_color(text: &str) -> bool {
    let inside = text
        .strip_prefix("rgb(")
        .and_then(|rest| rest.strip_suffix(')'));
    let part = |part: &str| {
        let part = part.trim();
        let plain = part == "0" || !part.starts_with('0');
        plain && part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u8>().is_ok()
    };
    inside.is_some_and(|inside| inside.split(',').count() == 3 && inside.split(',').all(part))
}

/// Standard alphabet in groups of four, the last one padded; at least one group. Go matches a
/// pattern and does not decode, so trailing bits may be set.
pub(super) fn base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    !digits.is_empty()
        && text.len().is_multiple_of(4)
        && padding <= 2
        && digits.bytes().all(alphabet)
}
