//! gzip compression of responses, under kube-apiserver's conditions.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress};

/// Responses above this size are compressed for clients that accept gzip, bytes. kube-apiserver's
/// threshold (`defaultGzipThresholdBytes`).
pub(super) const THRESHOLD: usize = 128 << 10;

/// Compresses a body in pieces.
pub(super) struct Gzip(GzEncoder<Vec<u8>>);

impl Gzip {
    pub(super) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    /// Compresses a piece; returns the output that is available so far, which may be empty.
    pub(super) fn feed(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        self.0.write_all(piece)?;
        Ok(std::mem::take(self.0.get_mut()).into())
    }

    /// The remaining output.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        self.0.finish().map(Bytes::from)
    }
}

/// Compresses a complete body.
pub(super) fn whole(body: &[u8]) -> Bytes {
    let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let packed = gzip.write_all(body).and_then(|()| gzip.finish());
    packed.expect("a Vec takes every byte").into()
}

/// Compresses a text so that the result can be part of any number of gzip streams: deflate blocks
/// that end on a byte boundary and refer to nothing before them, then checksum and length of the
/// text.
pub(super) fn piece(text: &[u8]) -> Bytes {
    let mut packed = Vec::with_capacity(text.len() / 2 + 64);
    let mut deflate = Compress::new(Compression::fast(), false);
    loop {
        let consumed = usize::try_from(deflate.total_in()).unwrap_or(text.len());
        let rest = &text[consumed.min(text.len())..];
        packed.reserve(rest.len() / 2 + 64);
        let room = packed.capacity();
        // Deflate fails only if it is called after the end of its stream.
        if deflate
            .compress_vec(rest, &mut packed, FlushCompress::Sync)
            .is_err()
        {
            break;
        }
        // Unused output space means that no output is pending.
        let all = deflate.total_in() == text.len() as u64;
        if all && packed.len() < room {
            break;
        }
    }
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    packed.extend_from_slice(&crc32fast::hash(text).to_le_bytes());
    packed.extend_from_slice(&length.to_le_bytes());
    packed.into()
}

/// A gzip stream of shared pieces: each received piece can be decompressed immediately, and the
/// same compressed bytes are sent to all clients.
#[derive(Debug, Default)]
pub(super) struct Joined {
    begun: bool,
    sum: crc32fast::Hasher,
    length: u32,
}

/// gzip header: magic number, deflate, no flags, no time, fastest, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// The final, empty block.
const LAST: [u8; 2] = [3, 0];
/// Bytes of checksum and length after a piece.
const TRAILER: usize = 8;

impl Joined {
    /// Appends a piece to the output.
    pub(super) fn push(&mut self, piece: &Bytes, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&HEADER);
        }
        out.extend_from_slice(&self.count(piece));
    }

    /// A piece without a copy; none if the stream header must be sent first.
    pub(super) fn alone(&mut self, piece: &Bytes) -> Option<Bytes> {
        self.begun.then(|| self.count(piece))
    }

    /// The end of the stream; none if the stream has not started.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        if !std::mem::take(&mut self.begun) {
            return None;
        }
        let mut end = LAST.to_vec();
        end.extend_from_slice(&self.sum.clone().finalize().to_le_bytes());
        end.extend_from_slice(&self.length.to_le_bytes());
        Some(end.into())
    }

    /// Adds a piece to the checksum; returns its deflate blocks.
    fn count(&mut self, piece: &Bytes) -> Bytes {
        let blocks = piece.len().saturating_sub(TRAILER);
        let number = |at: usize| {
            let bytes = piece.get(at..at + 4).unwrap_or_default();
            u32::from_le_bytes(bytes.try_into().unwrap_or_default())
        };
        let (sum, length) = (number(blocks), number(blocks + 4));
        let part = crc32fast::Hasher::new_with_initial_len(sum, u64::from(length));
        self.sum.combine(&part);
        self.length = self.length.wrapping_add(length);
        piece.slice(..blocks)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::{Joined, piece};

    /// The decompressed text of an unfinished stream.
    fn so_far(sent: &[u8]) -> String {
        let mut text = Vec::new();
        // The error is expected, because the stream has no end yet.
        let _ = GzDecoder::new(sent).read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn sent_gzip_pieces_are_readable_immediately() {
        let texts = [
            "first ".repeat(900),
            "x".to_owned(),
            "third ".repeat(40_000),
        ];
        let pieces = texts.clone().map(|text| piece(text.as_bytes()));
        let (mut joined, mut sent, mut expected) = (Joined::default(), Vec::new(), String::new());
        assert!(joined.alone(&pieces[0]).is_none(), "the header comes first");
        for round in 0..2 {
            for (piece, text) in pieces.iter().zip(&texts) {
                if round == 0 {
                    joined.push(piece, &mut sent);
                } else {
                    sent.extend_from_slice(&joined.alone(piece).unwrap());
                }
                expected.push_str(text);
                assert_eq!(so_far(&sent), expected);
            }
        }
        sent.extend_from_slice(&joined.finish().unwrap());
        let mut text = String::new();
        GzDecoder::new(&*sent).read_to_string(&mut text).unwrap();
        assert_eq!(text, expected, "checksum and length are those of the whole");
    }

    #[test]
    fn incompressible_text_survives_gzip() {
        let noise: Vec<u8> = (0..100_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let (mut joined, mut sent) = (Joined::default(), Vec::new());
        joined.push(&piece(&noise), &mut sent);
        sent.extend_from_slice(&joined.finish().unwrap());
        let mut text = Vec::new();
        GzDecoder::new(&*sent).read_to_end(&mut text).unwrap();
        assert!(text == noise);
    }

    #[test]
    fn gzip_stream_without_pieces_is_empty() {
        assert!(Joined::default().finish().is_none());
    }
}
