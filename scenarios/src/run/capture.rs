//! A response as it arrives.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::watch;

/// The parts of a response that have arrived.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// HTTP status and headers of a request.
    pub head: Option<Head>,
    /// Body, or standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: Vec<u8>,
    /// Exit code of a command that ended by itself.
    pub exit: Option<i32>,
    /// The response is complete.
    pub ended: bool,
    /// A failure outside of the protocol.
    pub failure: Option<String>,
}

/// Status line and headers.
#[derive(Clone, Debug)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
    /// Headers in order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// Condition that ends a wait.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// The response ends.
    End,
    /// The response ends or has this many lines.
    Lines(usize),
}

/// The receiving side of a response.
pub type Watched = watch::Receiver<Capture>;

impl Capture {
    /// Number of complete lines of the body.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.out.iter().filter(|byte| **byte == b'\n').count()
    }

    /// The body or standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Keeps the first `count` lines.
    fn cut(&mut self, count: usize) {
        let ends = self
            .out
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n');
        if let Some((end, _)) = ends.take(count).last() {
            self.out.truncate(end + 1);
        }
    }
}

/// Waits for a response.
///
/// # Errors
/// If the timeout expires first or the response failed.
pub async fn wait(mut watched: Watched, until: Until, limit: Duration) -> Result<Capture> {
    let enough = |capture: &Capture| match until {
        Until::End => capture.ended,
        Until::Lines(count) => capture.ended || capture.lines() >= count,
    };
    let waited = tokio::time::timeout(limit, watched.wait_for(enough))
        .await
        .map(|_| ());
    let mut capture = watched.borrow().clone();
    if let Some(failure) = &capture.failure {
        bail!(
            "{failure}; received: {}{}",
            capture.text(),
            String::from_utf8_lossy(&capture.err)
        );
    }
    if waited.is_err() {
        let err = String::from_utf8_lossy(&capture.err);
        bail!("timeout after {limit:?}; received: {}{err}", capture.text());
    }
    if let Until::Lines(count) = until {
        capture.cut(count);
    }
    Ok(capture)
}
