//! Format of a backup file.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `arkback` and a newline |
//! | 1 | version of the format, 1 |
//! | 1 | compression of the body: 0 none, 1 gzip |
//! | … | the body: `ark.backend.v1.ExportResponse` messages, each preceded by its length as a
//! varint: the header, chunks of records in key order, the trailer |
//! | 8 | number of messages, big-endian |
//! | 8 | number of records, big-endian |
//! | 32 | SHA-256 of all preceding bytes |

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use backend_proto::limits::MAX_MESSAGE_BYTES;
use backend_proto::v1::export_response::Part;
use backend_proto::v1::list_response::Chunk;
use backend_proto::v1::{ExportResponse, Header};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use prost::Message as _;
use ring::digest::{Context as Digest, SHA256};

const MAGIC: &[u8; 8] = b"arkback\n";
const VERSION: u8 = 1;
/// Bytes of magic, version and compression.
const HEAD: u64 = 10;
/// Bytes of the counts and the hash.
const TAIL: u64 = 48;
/// Error of an incomplete or malformed message.
const SHORT: &str = "a message cannot be read";
/// Size of the I/O buffers.
const BUFFER: usize = 1 << 20;

/// Writes the format.
pub(super) struct Writer {
    body: Body,
    messages: u64,
}

enum Body {
    Plain(Box<Hashing>),
    Gzip(Box<GzEncoder<Hashing>>),
}

/// A file with the running hash of the written bytes.
struct Hashing {
    file: BufWriter<File>,
    hash: Digest,
}

/// A file with a verified hash.
#[derive(Debug)]
pub(super) struct Contents {
    path: PathBuf,
    header: Header,
    messages: u64,
    records: u64,
}

// === impl Writer ===

impl Writer {
    /// Begins a backup in a file.
    pub(super) fn begin(file: File, compress: bool) -> io::Result<Self> {
        let mut out = Hashing {
            file: BufWriter::with_capacity(BUFFER, file),
            hash: Digest::new(&SHA256),
        };
        out.write_all(MAGIC)?;
        out.write_all(&[VERSION, u8::from(compress)])?;
        let body = if compress {
            Body::Gzip(Box::new(GzEncoder::new(out, Compression::fast())))
        } else {
            Body::Plain(Box::new(out))
        };
        Ok(Self { body, messages: 0 })
    }

    pub(super) fn write(&mut self, message: &ExportResponse) -> io::Result<()> {
        let bytes = message.encode_length_delimited_to_vec();
        self.messages += 1;
        match &mut self.body {
            Body::Plain(out) => out.write_all(&bytes),
            Body::Gzip(out) => out.write_all(&bytes),
        }
    }

    /// Writes the end, and returns the file.
    pub(super) fn finish(self, records: u64) -> io::Result<File> {
        let mut out = match self.body {
            Body::Plain(out) => *out,
            Body::Gzip(out) => out.finish()?,
        };
        out.write_all(&self.messages.to_be_bytes())?;
        out.write_all(&records.to_be_bytes())?;
        let hash = out.hash.finish();
        out.file.write_all(hash.as_ref())?;
        let file = out.file.into_inner();
        file.map_err(io::IntoInnerError::into_error)
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

// === impl Contents ===

impl Contents {
    /// Reads the whole file and verifies its hash.
    pub(super) fn check(path: &Path) -> Result<Self> {
        Self::checked(path).with_context(|| path.display().to_string())
    }

    fn checked(path: &Path) -> Result<Self> {
        // A pipe would block, and can be read only once.
        ensure!(
            std::fs::metadata(path)?.is_file(),
            "not a backup: it is no regular file"
        );
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut head = [0; HEAD as usize];
        ensure!(length >= HEAD + TAIL, "not a backup: the file is too short");
        file.read_exact(&mut head)?;
        ensure!(head.starts_with(MAGIC), "not a backup of arkctl");
        let version = head[8];
        ensure!(
            version == VERSION,
            "version {version} is not known to this arkctl"
        );
        let mut hash = Digest::new(&SHA256);
        hash.update(&head);
        feed(&mut hash, (&mut file).take(length - HEAD - 32))?;
        let mut expected = [0; 32];
        file.read_exact(&mut expected)?;
        ensure!(
            hash.finish().as_ref() == expected,
            "the file is damaged or cut off: its SHA-256 is not what it was when it was written"
        );
        file.seek(SeekFrom::Start(length - TAIL))?;
        let (mut messages, mut records) = ([0; 8], [0; 8]);
        file.read_exact(&mut messages)?;
        file.read_exact(&mut records)?;
        let mut contents = Self {
            path: path.to_owned(),
            header: Header::default(),
            messages: u64::from_be_bytes(messages),
            records: u64::from_be_bytes(records),
        };
        let first = contents.messages()?.next();
        let Part::Header(header) = first.context("the file is empty")?? else {
            bail!("the file does not begin with the store's header");
        };
        contents.header = header;
        Ok(contents)
    }

    /// Returns the store's header at the time of the backup.
    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// Returns the chunks in order.
    pub(super) fn chunks(&self) -> Result<impl Iterator<Item = Result<Chunk>>> {
        let parts = self.messages()?;
        Ok(parts.filter_map(|part| match part {
            Ok(Part::Chunk(chunk)) => Some(Ok(chunk)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }))
    }

    fn messages(&self) -> Result<impl Iterator<Item = Result<Part>> + use<>> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(HEAD - 1))?;
        let mut compressed = [0; 1];
        file.read_exact(&mut compressed)?;
        let body = BufReader::with_capacity(BUFFER, file).take(length - HEAD - TAIL);
        let mut body: Box<dyn Read> = match compressed[0] {
            0 => Box::new(body),
            1 => Box::new(BufReader::with_capacity(BUFFER, GzDecoder::new(body))),
            other => bail!("compression {other} is not known to this arkctl"),
        };
        let messages = self.messages;
        Ok((0..messages).map(move |_| message(&mut body)))
    }
}

/// Adds all remaining bytes to the hash.
fn feed(hash: &mut Digest, mut from: impl Read) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Reads the next message.
fn message(body: &mut dyn Read) -> Result<Part> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let mut byte = [0; 1];
        body.read_exact(&mut byte).context(SHORT)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] < 0x80 {
            break;
        }
        ensure!(shift < 35, "a message's length is malformed");
    }
    ensure!(length <= MAX_MESSAGE_BYTES, "a message of {length} bytes");
    let mut bytes = vec![0; length];
    body.read_exact(&mut bytes).context(SHORT)?;
    let response = ExportResponse::decode(bytes::Bytes::from(bytes))?;
    response.part.context("an empty message")
}
