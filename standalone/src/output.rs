//! The standard error of the driver, passed on to ours.
//!
//! Lines are held back until the driver serves. If it ends instead, its last line becomes the
//! error, and no other output precedes it.

use std::collections::VecDeque;
use std::sync::Arc;

use command_line::redacted;
use logs::Format;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// Longer lines are split, bytes.
const LINE: u64 = 32 << 10;
/// Lines that are held back; the oldest is dropped beyond that.
const HELD: usize = 200;

/// The lines of one process; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Output {
    name: Arc<str>,
    format: Format,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Debug, Default)]
struct Lines {
    /// `None` after the release: lines are passed on immediately.
    held: Option<VecDeque<String>>,
    last: String,
}

impl Output {
    /// Holds lines back until the release; `name` is their prefix, or a member in JSON.
    pub(super) fn held(name: &str, format: Format) -> Self {
        let lines = Lines {
            held: Some(VecDeque::new()),
            last: String::new(),
        };
        Self {
            name: name.into(),
            format,
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
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line);
                    self.line(&without_passwords(self.format, line.trim_end()));
                }
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

    /// The error or text of the last non-empty line.
    pub(super) fn last(&self) -> Option<String> {
        let last = self.format.problem(&self.lines.lock().last);
        Some(last).filter(|last| !last.is_empty())
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
        self.format.forward(&self.name, line);
    }
}

/// The line with passwords replaced. In JSON, each string by itself, because a password in a
/// connection string ends with its string.
fn without_passwords(format: Format, line: &str) -> String {
    if format == Format::Text || !line.starts_with('{') {
        return redacted(line);
    }
    let (mut shown, mut rest) = (String::with_capacity(line.len()), line);
    loop {
        let mut escaped = false;
        let end = rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else {
            return shown + &redacted(rest);
        };
        shown.push_str(&redacted(&rest[..end]));
        shown.push('"');
        rest = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn last_line_is_reported_as_error() {
        let output = Output::held("x", Format::Text);
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

    #[test]
    fn redacted_json_stays_json() {
        let line = r#"{"a":"host=h password=s3\"cret","b":["postgres://u:s3cret@h/d"],"c":"x@y"}"#;
        let shown = without_passwords(Format::Json, line);
        let expected = r#"{"a":"host=h password=***","b":["postgres://u:***@h/d"],"c":"x@y"}"#;
        assert_eq!(shown, expected);
        let text = without_passwords(Format::Json, "password=s3cret");
        assert_eq!(text, "password=***");
    }

    #[tokio::test]
    async fn held_lines_are_bounded() {
        let output = Output::held("x", Format::Text);
        let text = format!("{}\n", "a".repeat(1 << 20));
        output.clone().follow(text.as_bytes()).await;
        let held = output.lines.lock().held.clone().unwrap();
        let longest = held.iter().map(String::len).max();
        assert_eq!((held.len(), longest), (32, Some(32 << 10)));
        output.clone().follow("b\n".repeat(1000).as_bytes()).await;
        assert_eq!(output.lines.lock().held.clone().unwrap().len(), HELD);
    }
}
