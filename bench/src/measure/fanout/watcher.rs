//! One watcher: reads frames, checks order and completeness, records latencies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use memchr::memmem;

/// Time without events after which a watcher gives up.
const STALL: Duration = Duration::from_secs(20);

/// Reading speed of a watcher.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as frames arrive.
    Full,
    /// Limit of events per second, so that the connection fills up.
    EventsPerSecond(u32),
}

/// A watcher before it reads.
pub(crate) struct Watcher {
    pub(crate) index: usize,
    /// Time at which each write was sent, in nanoseconds on `clock`; 0 if not yet.
    pub(crate) sent: Arc<Vec<AtomicU64>>,
    pub(crate) clock: Instant,
    pub(crate) pace: Pace,
}

/// Events that a watcher received.
#[derive(Debug, Default)]
pub struct Received {
    /// Number of the watcher.
    pub index: usize,
    /// Different writes that arrived.
    pub distinct: usize,
    /// Events whose write had arrived before.
    pub repeated: usize,
    /// Events whose resource version was not greater than that of the event before.
    pub disordered: usize,
    /// The stream ended or sent 410 before everything had arrived.
    pub disconnected: bool,
    /// Time from sending the write to arrival of the event.
    pub latencies: Vec<Duration>,
    /// One entry per write.
    arrived: Vec<bool>,
    last_revision: u64,
}

impl Watcher {
    /// Reads until every write has arrived, the stream ends, or it stalls.
    pub(crate) async fn read(self, mut body: Incoming) -> Result<Received> {
        let mut received = Received {
            index: self.index,
            arrived: vec![false; self.sent.len()],
            ..Received::default()
        };
        let mut rest = BytesMut::new();
        while received.distinct < self.sent.len() && !received.disconnected {
            let Ok(frame) = tokio::time::timeout(STALL, body.frame()).await else {
                break;
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        let lines = self.lines(&mut rest, &data, &mut received);
                        self.pause(lines).await;
                    }
                }
                Some(Err(_)) | None => received.disconnected = true,
            }
        }
        Ok(received)
    }

    /// Checks the complete lines in `rest` and `data`; returns their number.
    fn lines(&self, rest: &mut BytesMut, data: &Bytes, received: &mut Received) -> u32 {
        let mut count = 0;
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', data) {
            if rest.is_empty() {
                self.check_line(&data[from..end], received);
            } else {
                rest.extend_from_slice(&data[from..end]);
                let line = rest.split();
                self.check_line(&line, received);
            }
            from = end + 1;
            count += 1;
        }
        rest.extend_from_slice(&data[from..]);
        count
    }

    fn check_line(&self, line: &[u8], received: &mut Received) {
        if line.starts_with(br#"{"type":"ERROR""#) {
            received.disconnected = true;
            return;
        }
        // The write's number is the last field of the object. The resource version is in the
        // metadata, after the managed fields if there are any.
        let Some(number) = number_after(line, br#""duration":""#) else {
            return;
        };
        let Some(revision) = number_after(line, br#""resourceVersion":""#) else {
            received.disordered += 1;
            return;
        };
        received.disordered += usize::from(revision <= received.last_revision);
        received.last_revision = revision;
        let Some(slot) = usize::try_from(number)
            .ok()
            .filter(|slot| *slot < received.arrived.len())
        else {
            return;
        };
        if std::mem::replace(&mut received.arrived[slot], true) {
            received.repeated += 1;
            return;
        }
        received.distinct += 1;
        if matches!(self.pace, Pace::Full) {
            let sent = Duration::from_nanos(self.sent[slot].load(Ordering::Acquire));
            received
                .latencies
                .push(self.clock.elapsed().saturating_sub(sent));
        }
    }

    /// Slows a slow reader down until the last write was sent; afterwards it may catch up.
    async fn pause(&self, lines: u32) {
        let last = self
            .sent
            .last()
            .map_or(0, |sent| sent.load(Ordering::Acquire));
        if last != 0 {
            return;
        }
        if let Pace::EventsPerSecond(rate) = self.pace {
            tokio::time::sleep(Duration::from_secs(1) * lines / rate).await;
        }
    }
}

/// The decimal number after the last occurrence of a marker.
fn number_after(line: &[u8], marker: &[u8]) -> Option<u64> {
    let at = memmem::rfind(line, marker)? + marker.len();
    let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let text: Vec<u8> = digits.copied().collect();
    std::str::from_utf8(&text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number_after;

    #[test]
    fn number_after_reads_the_last_marker() {
        let line = br#"{"a":{"resourceVersion":"7"},"metadata":{"resourceVersion":"41"}}"#;
        assert_eq!(number_after(line, br#""resourceVersion":""#), Some(41));
        assert_eq!(number_after(line, br#""duration":""#), None);
    }
}
