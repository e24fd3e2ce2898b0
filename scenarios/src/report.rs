//! Results as text and as JUnit XML.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Result of one scenario.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The scenario's name.
    pub name: String,
    /// Duration on all engines together.
    pub duration: Duration,
    /// The reason of the failure; `None` if it passed.
    pub failure: Option<String>,
}

/// Writes a line to standard output. Ignores errors, so that a closed pipe does not fail the run.
pub fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes the verdicts as JUnit XML.
///
/// # Errors
/// If the file cannot be written.
pub fn junit(file: &Path, verdicts: &[Verdict]) -> Result<()> {
    let failed = verdicts
        .iter()
        .filter(|verdict| verdict.failure.is_some())
        .count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"scenarios\" tests=\"{}\" failures=\"{failed}\">\n",
        verdicts.len()
    );
    for verdict in verdicts {
        let (name, seconds) = (escape(&verdict.name), verdict.duration.as_secs_f64());
        text.push_str(&format!(
            "  <testcase name=\"{name}\" time=\"{seconds:.3}\""
        ));
        match &verdict.failure {
            None => text.push_str("/>\n"),
            Some(why) => {
                text.push_str(&format!("><failure>{}</failure></testcase>\n", escape(why)));
            }
        }
    }
    text.push_str("</testsuite>\n");
    std::fs::write(file, text).with_context(|| file.display().to_string())
}

/// Escapes for XML; omits control characters that XML 1.0 does not permit.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(letter),
            control if control.is_control() => {}
            other => escaped.push(other),
        }
    }
    escaped
}
