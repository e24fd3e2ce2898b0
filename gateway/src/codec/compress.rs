//! gzip, where kube-apiserver compresses.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Answers beyond this many bytes are compressed for clients that take it; smaller ones are not
/// worth the time (semantics 1.10.13).
pub(super) const THRESHOLD: usize = 128 << 10;

/// Compresses a body that comes in pieces.
pub(super) struct Gzip(GzEncoder<Vec<u8>>);

impl Gzip {
    pub(super) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    /// What has become of this piece and those before, as far as it is known; may be empty.
    pub(super) fn feed(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        self.0.write_all(piece)?;
        Ok(std::mem::take(self.0.get_mut()).into())
    }

    /// The rest.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        self.0.finish().map(Bytes::from)
    }
}

/// All of a body.
pub(super) fn whole(body: &[u8]) -> Bytes {
    let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let packed = gzip.write_all(body).and_then(|()| gzip.finish());
    packed.expect("a Vec takes every byte").into()
}
