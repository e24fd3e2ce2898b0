//! Texts that need no quotes in YAML.

/// Whether YAML 1.1 would read the text as another type than a string.
pub(super) fn is_typed(text: &str) -> bool {
    const WORDS: [&str; 11] = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", ".nan", ".inf",
    ];
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let word = unsigned.to_ascii_lowercase();
    // YAML 1.1 accepts these words only in lower, upper and title case.
    let cased = unsigned == word
        || unsigned == unsigned.to_ascii_uppercase()
        || unsigned.get(1..) == word.get(1..);
    text.is_empty()
        || text == "~"
        || (cased && WORDS.contains(&word.as_str()) && (unsigned == text || word == ".inf"))
        || is_number(unsigned)
        || is_sexagesimal(unsigned)
        || is_date(text)
}

/// Whether the characters permit a text without quotes inside a block.
pub(super) fn is_plain(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    let Some(first) = chars.peek().copied() else {
        return false;
    };
    let second = text.chars().nth(1);
    let blank_follows = second.is_none_or(is_blank);
    let indicator =
        "#,[]{}&*!|>'\"%@`".contains(first) || (matches!(first, '?' | ':' | '-') && blank_follows);
    if indicator
        || text.starts_with("---")
        || text.starts_with("...")
        || first == ' '
        || text.ends_with(' ')
    {
        return false;
    }
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let after = chars.peek().copied();
        if (c == ':' && after.is_none_or(is_blank)) || (c == '#' && is_blank(before)) {
            return false;
        }
        if is_break(c) {
            return false;
        }
        before = c;
    }
    true
}

/// Whether a character must be escaped.
pub(super) const fn is_special(c: char) -> bool {
    !matches!(c, '\n' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

pub(super) const fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t') || is_break(c)
}

fn is_number(text: &str) -> bool {
    let digits: String = text.chars().filter(|&c| c != '_').collect();
    for (prefix, radix) in [("0x", 16), ("0b", 2), ("0o", 8)] {
        if let Some(rest) = digits.strip_prefix(prefix) {
            return !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix));
        }
    }
    let starts = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let known = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    starts && digits.chars().all(known) && digits.parse::<f64>().is_ok()
}

/// `12:30:45` and the like.
fn is_sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    parts.next().is_some_and(digits)
        && text.contains(':')
        && parts.all(|part| {
            let whole = part.split('.').next().unwrap_or_default();
            whole.len() <= 2 && digits(whole)
        })
}

/// `2024-01-01`, with or without a time.
fn is_date(text: &str) -> bool {
    let date = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = date.split('-').collect();
    parts.len() == 3
        && parts[0].len() == 4
        && parts[1..].iter().all(|part| matches!(part.len(), 1 | 2))
        && parts
            .iter()
            .all(|part| part.chars().all(|c| c.is_ascii_digit()))
}
