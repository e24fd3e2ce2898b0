//! SETTINGS frames of an HTTP/2 connection, which a client sends once and seldom again.

use std::time::Duration;

use tokio::time::Instant;

/// SETTINGS frames that a client may send in a burst. A change of the stream window updates every
/// open stream, of which there may be 250, and is acknowledged: 16 bytes cause microseconds to
/// milliseconds of work. Go, nghttp2 and browsers send one to three per connection.
const ALLOWANCE: u32 = 100;

/// One more may be sent after this.
const REFILL: Duration = Duration::from_secs(1);

/// Bytes of the connection preface, RFC 9113 section 3.4.
const PREFACE_BYTES: u64 = 24;

/// Bytes of a frame header, RFC 9113 section 4.1: length (3), type, flags, stream (4).
const HEADER_BYTES: usize = 9;

/// The type of SETTINGS frames, and the flag of one that acknowledges the server's.
const SETTINGS: u8 = 4;
const ACK: u8 = 1;

/// Counts SETTINGS frames in the bytes of a connection.
#[derive(Debug)]
pub(super) struct SettingsMeter {
    /// Bytes before the next frame header.
    skip: u64,
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that are there.
    filled: usize,
    left: u32,
    refilled: Instant,
}

/// The client sent more than it may.
#[derive(Debug, thiserror::Error)]
#[error("too many SETTINGS frames")]
pub(super) struct TooMany;

impl SettingsMeter {
    /// A meter for a connection whose preface is still to come.
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            filled: 0,
            left: ALLOWANCE,
            refilled: Instant::now(),
        }
    }

    /// Notes the next bytes of the connection.
    ///
    /// # Errors
    /// If they have one SETTINGS frame too many.
    pub(super) fn note(&mut self, mut bytes: &[u8]) -> Result<(), TooMany> {
        while !bytes.is_empty() {
            let skipped =
                usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
            self.skip -= skipped as u64;
            bytes = &bytes[skipped..];
            let taken = bytes.len().min(HEADER_BYTES - self.filled);
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER_BYTES {
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = u64::from(u32::from_be_bytes([0, a, b, c]));
                if kind == SETTINGS && flags & ACK == 0 {
                    self.take()?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<(), TooMany> {
        let periods = self.refilled.elapsed().as_secs() / REFILL.as_secs();
        if periods > 0 {
            let refill = u32::try_from(periods).unwrap_or(ALLOWANCE);
            self.left = self.left.saturating_add(refill).min(ALLOWANCE);
            self.refilled = Instant::now();
        }
        self.left = self.left.checked_sub(1).ok_or(TooMany)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const CHANGE: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\xff\xff";
    const ACKNOWLEDGED: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";
    /// DATA that looks like SETTINGS.
    const DATA: &[u8] = b"\0\0\x09\0\0\0\0\0\x01\0\0\0\x04\0\0\0\0\0";

    #[tokio::test(start_paused = true)]
    async fn only_settings_of_the_client_count_and_only_so_many_per_second() {
        for piece in [1, 7, 4096] {
            let mut meter = SettingsMeter::new();
            let mut note = |bytes: &[u8]| {
                let mut pieces = bytes.chunks(piece);
                pieces.try_for_each(|piece| meter.note(piece)).is_ok()
            };
            assert!(note(PREFACE));
            for _ in 0..ALLOWANCE {
                assert!(note(CHANGE) && note(ACKNOWLEDGED) && note(DATA));
            }
            tokio::time::advance(REFILL * 2).await;
            assert!(note(CHANGE) && note(CHANGE), "in pieces of {piece}");
            assert!(!note(CHANGE), "one more, in pieces of {piece}");
        }
    }
}
