//! Results of checks.

use std::process::ExitCode;

use anyhow::{Error, Result};
use scenarios::report::print_line;

/// Number of checks, and failures as they occur.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// Records a check of a case, and prints a failure.
    pub(crate) fn record(&mut self, case: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                self.failed += 1;
                print_line(&format!("FAIL {case}: {error:#}"));
            }
        }
    }

    /// Records a check without an error of its own.
    pub(crate) fn expect(&mut self, case: &str, holds: bool, failure: impl FnOnce() -> String) {
        let result = if holds {
            Ok(())
        } else {
            Err(Error::msg(failure()))
        };
        self.record(case, result);
    }

    /// Prints the counts.
    pub(crate) fn finish(&self) -> ExitCode {
        print_line(&format!("{} passed, {} failed", self.passed, self.failed));
        if self.failed == 0 && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
