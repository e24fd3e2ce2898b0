//! Deadlines of requests: `?timeout=` and the limits of the server.

use std::time::Duration;

/// Longest time of a request that is not long-running: kube-apiserver's `--request-timeout`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time of a write of one object: kube-apiserver's `requestTimeoutUpperBound`.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(34);

/// The timeout of a request with this query, at most `longest`.
///
/// # Errors
/// The message of the 400 response if `timeout` is not a Go duration.
pub fn from_query(query: Option<&str>, longest: Duration) -> Result<Duration, String> {
    let Some(text) = query
        .filter(|q| q.contains("timeout="))
        .and_then(timeout_value)
    else {
        return Ok(longest);
    };
    let asked = parse_go_duration(&text)
        .map_err(|err| format!("invalid timeout specified in the request URL - {err}"))?;
    // kube-apiserver treats zero as absent.
    Ok(if asked.is_zero() {
        longest
    } else {
        asked.min(longest)
    })
}

fn timeout_value(query: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "timeout")
        .map(|(_, value)| value.into_owned())
        .filter(|value| !value.is_empty())
}

/// Parses Go's `time.ParseDuration` syntax; negative durations count as zero.
///
/// # Errors
/// Go's text, such as `time: invalid duration "zz"`.
pub fn parse_go_duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| c != '.' && !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = tail
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        nanos += number * scale;
        rest = tail;
    }
    if nanos > i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(if negative {
        Duration::ZERO
    } else {
        Duration::from_nanos(nanos as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Result<Duration, &str>) {
        let got = from_query(Some(query), REQUEST_TIMEOUT);
        assert_eq!(got, expected.map_err(str::to_owned), "{query}");
    }

    #[test]
    fn query_timeouts_follow_kube_apiserver() {
        check("", Ok(REQUEST_TIMEOUT));
        check("watch=1&timeout=5s", Ok(Duration::from_secs(5)));
        check("timeout=1.5s", Ok(Duration::from_millis(1500)));
        check("timeout=1m30s", Ok(REQUEST_TIMEOUT));
        check("timeout=250ms", Ok(Duration::from_millis(250)));
        check("timeout=0", Ok(REQUEST_TIMEOUT));
        let prefix = "invalid timeout specified in the request URL - time:";
        check(
            "timeout=zz",
            Err(&format!("{prefix} invalid duration \"zz\"")),
        );
        check(
            "timeout=5",
            Err(&format!("{prefix} missing unit in duration \"5\"")),
        );
        check(
            "timeout=5x",
            Err(&format!("{prefix} unknown unit \"x\" in duration \"5x\"")),
        );
    }
}
