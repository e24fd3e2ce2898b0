//! Results of a run, as text and as JUnit XML.

use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use crate::check::{Check, Stop};

/// Result of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rule holds.
    Passed,
    /// The rule is violated; with the observation.
    Failed(String),
    /// The rule does not apply to this driver; with the reason.
    Skipped(String),
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Id of the case.
    pub id: &'static str,
    /// Result of the case.
    pub verdict: Verdict,
    /// Duration of the case.
    pub took: Duration,
}

/// All rows of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the run.
    pub rows: Vec<Row>,
}

// === impl Row ===

impl Row {
    pub(crate) fn new(id: &'static str, begun: Instant, check: Check) -> Self {
        Self {
            id,
            verdict: match check {
                Ok(()) => Verdict::Passed,
                Err(Stop::Failed(sentence)) => Verdict::Failed(sentence),
                Err(Stop::Skipped(sentence)) => Verdict::Skipped(sentence),
            },
            took: begun.elapsed(),
        }
    }

    /// Builds a row for a check outside the cases.
    #[must_use]
    pub fn of(id: &'static str, begun: Instant, result: Result<(), String>) -> Self {
        Self::new(id, begun, result.map_err(Stop::Failed))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, reason) = match &self.verdict {
            Verdict::Passed => ("pass", ""),
            Verdict::Failed(sentence) => ("FAIL", sentence.as_str()),
            Verdict::Skipped(sentence) => ("skip", sentence.as_str()),
        };
        let line = format!(
            "{:<58} {word} {:>8.2} s  {reason}",
            self.id,
            self.took.as_secs_f64()
        );
        f.write_str(line.trim_end())
    }
}

// === impl Report ===

/// Formats the whole table.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        f.write_str(&self.summary())
    }
}

impl Report {
    /// Whether any rule is violated.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_))) > 0
    }

    fn count(&self, which: impl Fn(&Verdict) -> bool) -> usize {
        self.rows.iter().filter(|row| which(&row.verdict)).count()
    }

    /// Returns the last line: numbers of passed, failed and skipped cases.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.count(|verdict| *verdict == Verdict::Passed),
            self.count(|verdict| matches!(verdict, Verdict::Failed(_))),
            self.count(|verdict| matches!(verdict, Verdict::Skipped(_))),
        )
    }

    /// Returns the run as JUnit XML.
    #[must_use]
    pub fn junit(&self) -> String {
        let took: Duration = self.rows.iter().map(|row| row.took).sum();
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        // Writing to a string cannot fail.
        let _ = writeln!(
            xml,
            "<testsuite name=\"backend-conformance\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" \
             time=\"{:.3}\">",
            self.rows.len(),
            self.count(|verdict| matches!(verdict, Verdict::Failed(_))),
            self.count(|verdict| matches!(verdict, Verdict::Skipped(_))),
            took.as_secs_f64()
        );
        for row in &self.rows {
            let _ = write!(
                xml,
                "  <testcase classname=\"ark.backend.v1\" name=\"{}\" time=\"{:.3}\">",
                escape(row.id),
                row.took.as_secs_f64()
            );
            let _ = match &row.verdict {
                Verdict::Passed => Ok(()),
                Verdict::Failed(why) => write!(xml, "<failure message=\"{}\"/>", escape(why)),
                Verdict::Skipped(why) => write!(xml, "<skipped message=\"{}\"/>", escape(why)),
            };
            xml.push_str("</testcase>\n");
        }
        xml.push_str("</testsuite>\n");
        xml
    }
}

/// Escapes text for an XML attribute, without characters that XML cannot hold.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            _ if character.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Report, Row};
    use crate::check::Stop;

    #[test]
    fn report_counts_and_escapes() {
        let now = Instant::now();
        let failed = Stop::Failed("a < \"b\"\u{0}".to_owned());
        let report = Report {
            rows: vec![
                Row::new("R1-a", now, Ok(())),
                Row::new("R2-b", now, Err(failed)),
                Row::new("R3-c", now, Err(Stop::Skipped("no".to_owned()))),
            ],
        };
        assert!(report.failed());
        assert_eq!(report.summary(), "1 passed, 1 failed, 1 skipped");
        let xml = report.junit();
        assert!(xml.contains("tests=\"3\" failures=\"1\" skipped=\"1\""));
        assert!(xml.contains("<failure message=\"a &lt; &quot;b&quot;\u{fffd}\"/>"));
        assert!(report.rows[1].to_string().contains("FAIL"));
    }
}
