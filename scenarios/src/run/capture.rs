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

impl Head {
    /// Removes what the aggregation layer adds to a response of any aggregated server:
    /// kube-apiserver's own `Cache-Control` besides that of the server, and the `Vary` of a response
    /// that its Go transport requested and decompressed with gzip. A response without a second
    /// `Cache-Control` is kube-apiserver's own.
    pub fn without_aggregator(&mut self) {
        let is = |header: &(String, String), name: &str, value: &str| {
            header.0 == name && header.1 == value
        };
        let headers = self.headers.iter().enumerate();
        let mut duplicates = headers
            .filter(|(_, header)| is(header, "cache-control", "no-cache, private"))
            .skip(1);
        let Some((second, _)) = duplicates.next() else {
            return;
        };
        self.headers.remove(second);
        let encoded = |(name, _): &(String, String)| name == "content-encoding";
        if !self.headers.iter().any(encoded) {
            self.headers
                .retain(|header| !is(header, "vary", "Accept-Encoding"));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn headers_of_the_aggregator_are_removed() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let cache = header("cache-control", "no-cache, private");
        let vary = [header("vary", "Accept-Encoding"), header("vary", "Accept")];
        let encoding = header("content-encoding", "gzip");
        let twice = vec![cache.clone(), cache.clone()];
        for (received, expected) in [
            (
                [twice.clone(), vary.to_vec()].concat(),
                vec![cache.clone(), vary[1].clone()],
            ),
            (
                [twice, vec![encoding.clone()], vary.to_vec()].concat(),
                [vec![cache.clone(), encoding], vary.to_vec()].concat(),
            ),
            // A response of kube-apiserver itself.
            (
                [vec![cache.clone()], vary.to_vec()].concat(),
                [vec![cache], vary.to_vec()].concat(),
            ),
        ] {
            let mut head = Head {
                status: 200,
                headers: received,
            };
            head.without_aggregator();
            assert_eq!(head.headers, expected);
        }
    }
}
