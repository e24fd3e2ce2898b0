//! Verdicts as a text table and as JUnit XML.

use std::fmt::Write as _;
use std::time::Duration;

use crate::suite::Row;

/// Bytes of one problem's text in a report.
const MAX_PROBLEM_BYTES: usize = 400;

const HEAD: &str = "attack                              sent    requests   p50 ms   p99 ms  livez ms  login ms   peak MiB  verdict";

/// One line: figures and verdict.
pub(crate) fn line(row: &Row) -> String {
    let verdict = if row.problems.is_empty() {
        "ok".to_owned()
    } else {
        let texts: Vec<String> = row
            .problems
            .iter()
            .map(|problem| short(&problem.text))
            .collect();
        format!("FAIL {}", texts.join("; "))
    };
    format!(
        "{:<32} {:>9} {:>9} {} {} {}  {}  {:>9}  {verdict}",
        row.name,
        size(row.report.bytes),
        row.report.requests,
        millis(row.during.p50),
        millis(row.during.p99),
        millis(row.during.livez),
        millis(row.during.login),
        row.during.memory >> 20,
    )
}

/// All lines; the first has the quiet values.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!("\n{HEAD}\n");
    if let Some(row) = rows.first() {
        let quiet = &row.quiet;
        let _ = writeln!(
            text,
            "{:<32} {:>9} {:>9} {} {} {}  {}  {:>9}",
            "(quiet)",
            "",
            "",
            millis(quiet.p50),
            millis(quiet.p99),
            millis(quiet.livez),
            millis(quiet.login),
            quiet.memory >> 20,
        );
    }
    for row in rows {
        let _ = writeln!(text, "{}", line(row));
    }
    text
}

/// JUnit XML with one test case for each attack.
pub(crate) fn junit(rows: &[Row]) -> String {
    let failed = rows.iter().filter(|row| !row.problems.is_empty()).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"hostile\" tests=\"{}\" failures=\"{failed}\">\n",
        rows.len()
    );
    for row in rows {
        let _ = write!(
            text,
            "  <testcase classname=\"hostile\" name=\"{}\" time=\"{:.3}\"",
            row.name,
            row.elapsed.as_secs_f64()
        );
        if row.problems.is_empty() {
            text.push_str("/>\n");
            continue;
        }
        text.push('>');
        for problem in &row.problems {
            let _ = write!(
                text,
                "<failure message=\"{}\"/>",
                escape(&short(&problem.text))
            );
        }
        text.push_str("</testcase>\n");
    }
    text + "</testsuite>\n"
}

fn short(text: &str) -> String {
    let one_line = text.replace(['\n', '\r'], " ");
    one_line.chars().take(MAX_PROBLEM_BYTES).collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '"' => escaped.push_str("&quot;"),
            // XML 1.0 permits no other control characters.
            c if c.is_control() && c != '\t' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

fn millis(time: Duration) -> String {
    format!("{:>8.1}", time.as_secs_f64() * 1e3)
}

fn size(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        1..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{escape, junit};
    use crate::attacks::Report;
    use crate::criteria::Problem;
    use crate::monitor::Observed;
    use crate::suite::Row;

    #[test]
    fn junit_has_the_message_of_a_failure() {
        let row = Row {
            name: "depth",
            report: Report::default(),
            during: Observed::default(),
            quiet: Observed::default(),
            elapsed: std::time::Duration::from_millis(1500),
            problems: vec![Problem::wrong("<\"&\u{0}")],
        };
        let text = junit(&[row]);
        assert!(text.contains("failures=\"1\""), "{text}");
        assert!(text.contains("time=\"1.500\""), "{text}");
        assert!(text.contains("&lt;&quot;&amp;\u{fffd}"), "{text}");
        assert_eq!(escape("a\tb"), "a\tb");
    }
}
