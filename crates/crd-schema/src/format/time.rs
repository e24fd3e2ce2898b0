//! Dates, times and durations, as kube-openapi's `strfmt` checks them.

/// `2006-01-02`.
pub(super) fn date(text: &str) -> bool {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    shape && text.parse::<jiff::civil::Date>().is_ok()
}

/// RFC 3339, in either case.
pub(super) fn date_time(text: &str) -> bool {
    text.len() >= 4 && api_types::time::parse(&text.to_ascii_uppercase()).is_some()
}

/// Go's durations (`1h30m`), or a number with a unit anywhere in the text (`3 days`, `PT1H`).
pub(super) fn duration(text: &str) -> bool {
    go_duration(text).is_some() || counts_a_unit(text)
}

/// The nanoseconds of a text that Go's `time.ParseDuration` accepts, without the sign.
fn go_duration(text: &str) -> Option<u64> {
    const LIMIT: u64 = 1 << 63;
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit());
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let unit = nanoseconds(unit)?;
        let below = |limit: u64| move |value: &u64| *value <= limit;
        let whole = match whole {
            "" => 0,
            digits => digits.parse::<u64>().ok().filter(below(LIMIT / unit))?,
        };
        let part = format!("0.{fraction}0").parse::<f64>().ok()? * unit as f64;
        let sum = total.checked_add(whole * unit)?.checked_add(part as u64)?;
        total = Some(sum).filter(below(LIMIT))?;
        rest = after;
    }
    // Only a negative duration may have the size of the limit.
    (total < LIMIT || text.starts_with('-')).then_some(total)
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return None,
    })
}

/// Whether a number before a known unit occurs in the text, as `ParseDuration` of kube-openapi's
/// `strfmt` finds it; every number before a word must fit an i64. Other text is ignored, so most
/// ISO 8601 durations match.
fn counts_a_unit(text: &str) -> bool {
    let mut found = false;
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (number, after) = digits(&rest[start..]);
        let word = after.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
        let letter = |c: char| c.is_ascii_alphabetic() || c == '\u{b5}';
        let end = word.find(|c: char| !letter(c)).unwrap_or(word.len());
        if end == 0 {
            rest = after;
            continue;
        }
        if number.parse::<i64>().is_err() {
            return false;
        }
        found = found || is_unit(&word[..end].to_lowercase());
        rest = &word[end..];
    }
    found
}

/// A short unit, or a word that begins with a long one: `hours`, `secondly`.
fn is_unit(word: &str) -> bool {
    const SHORT: [&str; 10] = ["ns", "us", "\u{b5}s", "ms", "s", "m", "h", "hr", "d", "w"];
    const LONG: [&str; 8] = [
        "nano", "micro", "milli", "sec", "min", "hour", "day", "week",
    ];
    SHORT.contains(&word) || word == "wk" || LONG.iter().any(|unit| word.starts_with(unit))
}

#[cfg(test)]
mod tests {
    /// Judged by `strfmt.IsDuration` of kube-openapi.
    #[test]
    fn durations_are_those_of_strfmt() {
        for text in [
            "PT1H",
            "P1D",
            "P2W",
            "P1Y2M",
            "PT0.5S",
            "P1Y2M3DT4H5M6S",
            "1h5m",
            "-1.5h",
            ".5s",
            "0",
            "+0",
            "1 day",
            "3 weeks",
            "1d",
            "a 5 hr b",
            "1 DAY",
            "5\u{b5}s",
            "5\u{3bc}s",
            "2562047h47m16.854775807s",
            "9223372037s",
            "1secondly",
            "-9223372036854775808ns",
            "1x2h",
        ] {
            assert!(super::duration(text), "{text}");
        }
        for text in [
            "",
            "soon",
            "P1Y",
            "P",
            "PT",
            "1",
            "h",
            "1.h.",
            "1hrs",
            "1 fortnight",
            "99999999999999999999h",
            "99999999999999999999x1h",
            "1\u{a0}h",
            "-",
            "1..5",
            "5\u{3bc}t",
        ] {
            assert!(!super::duration(text), "{text}");
        }
    }
}
