//! The standard error of the driver, passed on to ours.
//!
//! Lines are held back until the driver serves. If it ends instead, its last line becomes the
//! error, and no other output precedes it.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use crate::redacted;

/// Longer lines are split, bytes.
const LINE: u64 = 8 << 10;
/// Lines that are held back; the oldest is dropped beyond that.
const HELD: usize = 200;

/// The lines of one process; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Output {
    name: Arc<str>,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Debug, Default)]
struct Lines {
    /// `None` after the release: lines are passed on immediately.
    held: Option<VecDeque<String>>,
    last: String,
}

impl Output {
    /// Holds lines back until the release; `name` is their prefix.
    pub(super) fn held(name: &str) -> Self {
        let lines = Lines {
            held: Some(VecDeque::new()),
            last: String::new(),
        };
        Self {
            name: name.into(),
            lines: Arc::new(Mutex::new(lines)),
        }
    }

    /// Reads until the pipe is closed.
    pub(super) async fn follow(self, stderr: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = (&mut reader).take(LINE);
            match limited.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => self.line(&redacted(String::from_utf8_lossy(&line).trim_end())),
            }
        }
    }

    /// Passes on the held lines, and later lines immediately.
    pub(super) fn release(&self) {
        let held = self.lines.lock().held.take();
        for line in held.into_iter().flatten() {
            self.show(&line);
        }
    }

    /// The last non-empty line, without the prefix `error:`.
    pub(super) fn last(&self) -> Option<String> {
        let last = self.lines.lock().last.clone();
        let last = last.strip_prefix("error: ").unwrap_or(&last);
        Some(last.to_owned()).filter(|last| !last.is_empty())
    }

    fn line(&self, line: &str) {
        if line.is_empty() {
            return;
        }
        let mut lines = self.lines.lock();
        line.clone_into(&mut lines.last);
        match &mut lines.held {
            Some(held) => {
                if held.len() == HELD {
                    held.pop_front();
                }
                held.push_back(line.to_owned());
            }
            None => self.show(line),
        }
    }

    fn show(&self, line: &str) {
        // A failed write means that stderr is closed, so the error cannot be reported.
        let _ = writeln!(std::io::stderr(), "{}: {line}", self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn last_line_is_reported_as_error() {
        let output = Output::held("x");
        let text = format!("one\n\nerror: {}\n\n", "y".repeat(100));
        output.clone().follow(text.as_bytes()).await;
        assert_eq!(output.last(), Some("y".repeat(100)));
        output.release();
        output.clone().follow(&b"two"[..]).await;
        assert_eq!(output.last().as_deref(), Some("two"));
        let secret = &b"cannot reach postgres://u:s3cret@h/db\n"[..];
        output.clone().follow(secret).await;
        let last = output.last().unwrap();
        assert_eq!(last, "cannot reach postgres://u:***@h/db");
    }

    #[tokio::test]
    async fn held_lines_are_bounded() {
        let output = Output::held("x");
        let text = format!("{}\n", "a".repeat(1 << 20));
        output.clone().follow(text.as_bytes()).await;
        let held = output.lines.lock().held.clone().unwrap();
        let longest = held.iter().map(String::len).max();
        assert_eq!((held.len(), longest), (128, Some(8 << 10)));
        output.clone().follow("b\n".repeat(1000).as_bytes()).await;
        assert_eq!(output.lines.lock().held.clone().unwrap().len(), HELD);
    }
}
