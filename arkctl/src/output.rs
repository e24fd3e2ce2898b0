//! Output: results and progress lines on standard output, bars on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Interval of progress lines without a terminal.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Progress formats on a terminal: with a known total, and without.
const BAR: &str = "{elapsed} [{bar:30}] {percent} %, {eta} left: {wide_msg}";
const SPINNER: &str = "{spinner} {elapsed} {wide_msg}";

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    Stdout,
    /// If standard output holds data, such as a backup or JSON.
    Stderr,
}

impl Sink {
    /// Prints a line. Errors are ignored: the reader of a pipe may have closed it, and the command
    /// has to end all the same.
    pub(crate) fn line(self, text: impl std::fmt::Display) {
        let _ = match self {
            Self::Stdout => writeln!(io::stdout(), "{text}"),
            Self::Stderr => writeln!(io::stderr(), "{text}"),
        };
    }
}

/// Prints a line of a result.
pub(crate) fn line(text: impl std::fmt::Display) {
    Sink::Stdout.line(text);
}

/// Progress of a long command: a bar on a terminal, plain lines elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    sink: Sink,
    what: &'static str,
    /// Estimated total number of records.
    total: Option<u64>,
    records: u64,
    bytes: u64,
    last_report: Instant,
    started: Instant,
}

impl Progress {
    /// Starts the progress of an operation, such as `copied`, with the estimated total if known.
    pub(crate) fn new(what: &'static str, total: Option<u64>) -> Self {
        Self::on(Sink::Stdout, what, total)
    }

    /// The same, with lines on `sink`.
    pub(crate) fn on(sink: Sink, what: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            bar.set_style(style(total.map_or(SPINNER, |_| BAR)));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            sink,
            what,
            total,
            records: 0,
            bytes: 0,
            last_report: Instant::now(),
            started: Instant::now(),
        }
    }

    /// Counts processed records.
    pub(crate) fn add(&mut self, records: usize, bytes: usize) {
        self.records += records as u64;
        self.bytes += bytes as u64;
        if let Some(bar) = &self.bar {
            if let Some(total) = self.total {
                // The total is an estimate.
                bar.set_length(total.max(self.records));
                bar.set_position(self.records);
            }
            bar.set_message(self.text());
        } else if self.last_report.elapsed() >= REPORT_INTERVAL {
            self.last_report = Instant::now();
            self.sink
                .line(format_args!("{}{}", self.text(), self.share()));
        }
    }

    /// Continues without a total.
    pub(crate) fn has_no_end(&mut self) {
        self.total = None;
        if let Some(bar) = &self.bar {
            bar.set_style(style(SPINNER));
            bar.unset_length();
        }
    }

    /// Prints a step, without disturbing the bar.
    pub(crate) fn step(&self, text: impl std::fmt::Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.sink.line(text)),
            None => self.sink.line(text),
        }
    }

    /// Removes the bar and prints the total.
    pub(crate) fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.sink.line(self.text());
    }

    /// Formats the share of the total, if known.
    fn share(&self) -> String {
        let share = |total: u64| {
            let total = total.max(self.records);
            format!(
                " ({} % of about {total} records)",
                self.records * 100 / total.max(1)
            )
        };
        self.total.map(share).unwrap_or_default()
    }

    fn text(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let mib = self.bytes as f64 / f64::from(1 << 20);
        let rate = mib / seconds.max(0.001);
        let Self { what, records, .. } = self;
        format!("{what} {records} records, {mib:.1} MiB, {rate:.0} MiB/s")
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn progress_exceeds_a_wrong_estimate() {
        let mut progress = Progress::new("copied", Some(200));
        for share in [
            " (25 % of about 200 records)",
            " (50 % of about 200 records)",
        ] {
            progress.add(50, 1);
            assert_eq!(progress.share(), share);
        }
        progress.add(200, 1);
        assert_eq!(progress.share(), " (100 % of about 300 records)");
        progress.has_no_end();
        assert_eq!(progress.share(), "");
    }
}
