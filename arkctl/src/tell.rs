//! What the operator sees: lines on standard output, progress on standard error.

#![expect(
    clippy::print_stdout,
    reason = "the one place that owns standard output"
)]

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line tells the progress where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// Prints a line.
pub(crate) fn line(text: impl std::fmt::Display) {
    println!("{text}");
}

/// How far a long command has come: a bar on a terminal, plain lines elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    records: u64,
    bytes: u64,
    told: Instant,
    started: Instant,
}

impl Progress {
    /// Of what is being done, such as `copied`.
    pub(crate) fn new(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = "{spinner} {elapsed} {msg}";
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            what,
            records: 0,
            bytes: 0,
            told: Instant::now(),
            started: Instant::now(),
        }
    }

    /// Counts what has just been done.
    pub(crate) fn add(&mut self, records: usize, bytes: usize) {
        self.records += records as u64;
        self.bytes += bytes as u64;
        if let Some(bar) = &self.bar {
            bar.set_message(self.text());
        } else if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            line(self.text());
        }
    }

    /// Tells a step, beside the bar if there is one.
    pub(crate) fn step(&self, text: impl std::fmt::Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| line(text)),
            None => line(text),
        }
    }

    /// Takes the bar away and tells the sum.
    pub(crate) fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        line(self.text());
    }

    fn text(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let mib = self.bytes as f64 / f64::from(1 << 20);
        let rate = mib / seconds.max(0.001);
        let Self { what, records, .. } = self;
        format!("{what} {records} records, {mib:.1} MiB, {rate:.0} MiB/s")
    }
}
