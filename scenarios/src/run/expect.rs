//! Checks a response against its step's expectation.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::capture::Capture;
use super::variables::Variables;
use crate::scenario::Expect;

/// Checks a response against the expectation of its step.
///
/// # Errors
/// The first missed expectation, with the response.
pub fn check(expect: &Expect, variables: &Variables, capture: &Capture) -> Result<()> {
    let missed = match &capture.head {
        Some(head) => status(expect, head.status).and_then(|()| headers(expect, capture)),
        None => exit(expect, capture.exit),
    };
    missed
        .and_then(|()| content(expect, variables, capture))
        .with_context(|| {
            let shown: String = capture.text().chars().take(2000).collect();
            format!(
                "the response was: {shown}{}",
                String::from_utf8_lossy(&capture.err)
            )
        })
}

fn status(expect: &Expect, status: u16) -> Result<()> {
    match expect.status {
        Some(wanted) => ensure!(status == wanted, "status {status}, expected {wanted}"),
        None => ensure!(
            (200..300).contains(&status),
            "status {status}, expected 2xx"
        ),
    }
    Ok(())
}

fn exit(expect: &Expect, exit: Option<i32>) -> Result<()> {
    // A command that the runner stopped has no exit code.
    if let Some(exit) = exit {
        let wanted = expect.exit.unwrap_or(0);
        ensure!(exit == wanted, "exit code {exit}, expected {wanted}");
    }
    Ok(())
}

fn headers(expect: &Expect, capture: &Capture) -> Result<()> {
    let head = capture.head.as_ref().context("no HTTP response")?;
    for (name, wanted) in &expect.headers {
        let mut found = head
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        if !found.any(|(_, value)| value == wanted) {
            bail!("header {name}: {wanted} is missing in {:?}", head.headers);
        }
    }
    Ok(())
}

fn content(expect: &Expect, variables: &Variables, capture: &Capture) -> Result<()> {
    let text = capture.text() + &String::from_utf8_lossy(&capture.err);
    for wanted in &expect.contains {
        let wanted = variables.fill(wanted)?;
        ensure!(text.contains(&wanted), "the text {wanted:?} is missing");
    }
    if expect.body.is_some() || !expect.absent.is_empty() {
        let body: Value = serde_json::from_slice(&capture.out).context("the body is not JSON")?;
        if let Some(wanted) = &expect.body {
            subset("", &variables.fill_value(wanted)?, &body)?;
        }
        for pointer in &expect.absent {
            ensure!(body.pointer(pointer).is_none(), "{pointer} must be absent");
        }
    }
    let events = capture.text();
    if let Some(wanted) = expect.numeric_client {
        let kept = events_kept_by_numeric_client(&events)?;
        ensure!(
            kept == wanted,
            "a client that compares versions as doubles keeps {kept} events, expected {wanted}"
        );
    }
    let Some(wanted) = &expect.events else {
        return Ok(());
    };
    let events: Vec<&str> = events.lines().collect();
    ensure!(
        events.len() == wanted.len(),
        "{} events, expected {}",
        events.len(),
        wanted.len()
    );
    for (index, (wanted, event)) in wanted.iter().zip(events).enumerate() {
        let event = serde_json::from_str(event).context("an event is not JSON")?;
        subset(
            &format!("event {index} "),
            &variables.fill_value(wanted)?,
            &event,
        )?;
    }
    Ok(())
}

/// Number of events that remain in a client that parses versions as JavaScript's `Number` and drops
/// an event whose version is not greater than the last (kubernetes-sigs/headlamp#6548).
fn events_kept_by_numeric_client(events: &str) -> Result<usize> {
    let (mut newest, mut kept) = (0.0_f64, 0);
    for event in events.lines() {
        let event: Value = serde_json::from_str(event).context("an event is not JSON")?;
        let version = event.pointer("/object/metadata/resourceVersion");
        let version = version
            .and_then(Value::as_str)
            .context("an event has no resourceVersion")?;
        let version: f64 = version
            .parse()
            .context("a resourceVersion is not a number")?;
        if version > newest {
            newest = version;
            kept += 1;
        }
    }
    Ok(kept)
}

/// Checks that `actual` contains `wanted`: objects may have more keys, all else must be equal.
fn subset(path: &str, wanted: &Value, actual: &Value) -> Result<()> {
    match (wanted, actual) {
        (Value::Object(wanted), Value::Object(actual)) => {
            for (key, value) in wanted {
                let path = format!("{path}/{key}");
                let actual = actual
                    .get(key)
                    .with_context(|| format!("{path} is missing"))?;
                subset(&path, value, actual)?;
            }
        }
        (Value::Array(wanted), Value::Array(actual)) => {
            ensure!(
                wanted.len() == actual.len(),
                "{path} has {} items, expected {}",
                actual.len(),
                wanted.len()
            );
            for (index, (wanted, actual)) in wanted.iter().zip(actual).enumerate() {
                subset(&format!("{path}/{index}"), wanted, actual)?;
            }
        }
        _ => ensure!(wanted == actual, "{path} is {actual}, expected {wanted}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn numeric_client_drops_versions_equal_as_doubles() {
        let kept = |first: u64| {
            let event = |it: u64| {
                json!({"object": {"metadata": {"resourceVersion": it.to_string()}}}).to_string()
            };
            let events: Vec<String> = (first..first + 40).map(event).collect();
            super::events_kept_by_numeric_client(&events.join("\n")).expect("versions")
        };
        assert!(kept(263_192_435_177_456_073) <= 3);
        assert_eq!(kept((1 << 53) - 40), 40);
    }

    #[test]
    fn subset_may_omit_keys_only() {
        let actual = json!({"a": 1, "b": [{"c": "x", "d": null}]});
        let check = |wanted: serde_json::Value, holds: bool| {
            assert_eq!(
                super::subset("", &wanted, &actual).is_ok(),
                holds,
                "{wanted}"
            );
        };
        check(json!({"b": [{"c": "x"}]}), true);
        check(json!({}), true);
        check(json!({"a": 1.0}), false);
        check(json!({"b": []}), false);
        check(json!({"b": [{"e": null}]}), false);
    }
}
