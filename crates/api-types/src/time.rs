//! Timestamps as Kubernetes writes them, and ages as kubectl prints them.

use jiff::Timestamp;
use jiff::civil::DateTime;

/// Go's zero time.
pub const ZERO: &str = "0001-01-01T00:00:00Z";

/// `metav1.Time`: RFC 3339 in UTC, whole seconds.
#[must_use]
pub fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metav1.MicroTime`: RFC 3339 in UTC, six digits of the second.
#[must_use]
pub fn format_micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Parses an RFC 3339 time as Go does: with an offset, upper-case `T` and `Z`, and any number of
/// digits of the second. The last hours of the year 9999, a common "never", are
/// [`Timestamp::MAX`].
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = bytes.len() > shape.len()
        && bytes.iter().zip(shape).all(|(byte, want)| match want {
            b'd' => byte.is_ascii_digit(),
            other => byte == other,
        });
    if !fits {
        return None;
    }
    let mut zone = &bytes[shape.len()..];
    if let [b'.' | b',', fraction @ ..] = zone {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit());
        let digits = digits.count();
        if digits == 0 {
            return None;
        }
        zone = &fraction[digits..];
    }
    let zone_fits = match zone {
        b"Z" => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].into_iter().all(u8::is_ascii_digit),
        _ => false,
    };
    // Go rejects leap seconds.
    if !zone_fits || &bytes[17..19] == b"60" {
        return None;
    }
    // Truncates digits below a nanosecond.
    let fraction_end = bytes.len() - zone.len();
    let kept = fraction_end.min(shape.len() + 10);
    let parsed = format!("{}{}", &text[..kept], &text[fraction_end..]).parse();
    parsed.ok().or_else(|| {
        // A timestamp leaves room for the offsets of all zones, which a UTC time does not need.
        let civil = text[..kept].parse::<DateTime>().ok();
        civil.filter(|it| it.year() == 9999 && zone == b"Z")?;
        Some(Timestamp::MAX)
    })
}

/// A text that [`parse`] accepts, as [`format()`] writes its time.
#[must_use]
pub fn normalized(text: &str) -> Option<String> {
    let time = parse(text)?;
    if time == Timestamp::MAX {
        return Some(format!("{}Z", &text[.."2006-01-02T15:04:05".len()]));
    }
    Some(format(time))
}

/// Time since a timestamp: `58s`, `2m23s`, `3h`, `5d1h`, `2y`.
#[must_use]
pub fn age(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(time).as_secs();
    let with = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{small_unit}")
        }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..-1 => String::from("<invalid>"),
        -1 => String::from("0s"),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => with(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => with(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => with(hours / 24, "d", hours % 24, "h"),
        _ if hours < 17_520 => format!("{}d", hours / 24),
        _ if hours < 70_080 => with(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{age, format_micro, normalized, parse};

    #[test]
    fn times_are_rfc_3339() {
        for (text, want) in [
            ("2024-01-02T03:04:05Z", Some("2024-01-02T03:04:05.000000Z")),
            (
                "2024-01-02T03:04:05.123456789123+01:00",
                Some("2024-01-02T02:04:05.123456Z"),
            ),
            ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00.000000Z")),
            ("9999-12-30T21:59:59Z", Some("9999-12-30T21:59:59.000000Z")),
            (
                "9999-12-31T23:59:59.9Z",
                Some("9999-12-30T22:00:00.999999Z"),
            ),
            ("9999-12-32T23:59:59Z", None),
            ("2024-01-02t03:04:05Z", None),
            ("2024-01-02T03:04:05", None),
            ("2024-01-02T03:04:60Z", None),
            ("2024-02-30T03:04:05Z", None),
            ("2024-01-02 03:04:05Z", None),
            ("2024-01-02T03:04:05.Z", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(format_micro).as_deref(), want, "{text}");
        }
        for (text, want) in [
            ("2024-01-02T03:04:05.9Z", "2024-01-02T03:04:05Z"),
            ("2024-01-02T03:04:05+01:00", "2024-01-02T02:04:05Z"),
            ("9999-12-31T23:59:59.9Z", "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(normalized(text).as_deref(), Some(want));
        }
    }

    #[test]
    fn ages_print_as_in_kubectl() {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 3600;
        const DAY: i64 = 24 * HOUR;
        const YEAR: i64 = 365 * DAY;
        for (seconds, want) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (10 * MINUTE, "10m"),
            (179 * MINUTE + 59, "179m"),
            (3 * HOUR, "3h"),
            (7 * HOUR + 59 * MINUTE, "7h59m"),
            (8 * HOUR + 59 * MINUTE, "8h"),
            (48 * HOUR, "2d"),
            (7 * DAY + 23 * HOUR, "7d23h"),
            (8 * DAY + HOUR, "8d"),
            (2 * YEAR - 1, "729d"),
            (2 * YEAR, "2y"),
            (2 * YEAR + DAY, "2y1d"),
            (8 * YEAR + DAY, "8y"),
        ] {
            let now = Timestamp::UNIX_EPOCH;
            let then = now - SignedDuration::from_secs(seconds);
            assert_eq!(age(then, now), want);
        }
    }
}
