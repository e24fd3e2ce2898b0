//! Writes protobuf messages field by field, and documents in Kubernetes' envelope; reads documents of
//! kinds of Kubernetes.
//!
//! The messages have no generated types: their source is JSON, and their bytes must equal those of
//! the Go encoders, which differ in the fields that they omit.

pub mod read;

/// Prefix of every document, which distinguishes it from JSON.
const MAGIC: &[u8] = b"k8s\0";

/// Appends the fields of one message. It writes every field for which it is called, zero values
/// included.
#[derive(Debug)]
pub struct Writer<'a, S = Vec<u8>> {
    out: &'a mut S,
}

/// Destination of messages.
pub trait Sink {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Number of bytes appended so far.
    fn taken(&self) -> usize;

    /// Replaces the byte at `at` with a varint and moves the following bytes if the varint is
    /// longer.
    fn replace(&mut self, at: usize, number: u64);
}

/// Counts bytes without storing them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length(pub usize);

/// Appends a document: the name of its type and its message, as `runtime.Unknown`.
pub fn document(
    api_version: &str,
    kind: &str,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Writer<'_>),
) {
    begin_document(api_version, kind, out);
    Writer::new(out).message(2, write);
    end_document(out);
}

/// Appends the envelope up to a message of `length` bytes. The caller appends the message and then
/// calls [`end_document`].
pub fn begin_long_document(api_version: &str, kind: &str, length: usize, out: &mut Vec<u8>) {
    begin_document(api_version, kind, out);
    Writer::new(out).length(2, length);
}

fn begin_document(api_version: &str, kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    Writer::new(out).message(1, |type_meta| {
        type_meta.string(1, api_version);
        type_meta.string(2, kind);
    });
}

/// Appends the fields after the message: empty content encoding and content type.
pub fn end_document(out: &mut Vec<u8>) {
    let mut unknown = Writer::new(out);
    unknown.string(3, "");
    unknown.string(4, "");
}

/// Wire types.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Delimited = 2,
}

impl<'a, S: Sink> Writer<'a, S> {
    /// A writer that appends to `out`.
    pub const fn new(out: &'a mut S) -> Self {
        Self { out }
    }

    /// A writer of the same message with a shorter lifetime.
    pub const fn reborrow(&mut self) -> Writer<'_, S> {
        Writer::new(self.out)
    }

    /// A `string`.
    pub fn string(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// `bytes`, or an encoded message.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        self.length(field, value.len());
        self.out.put(value);
    }

    /// The tag and length of `bytes` or of a message that the caller appends.
    pub fn length(&mut self, field: u32, length: usize) {
        self.key(field, Wire::Delimited);
        write_varint(length as u64, self.out);
    }

    /// An `int32` or `int64`.
    pub fn integer(&mut self, field: u32, value: i64) {
        self.key(field, Wire::Varint);
        write_varint(value.cast_unsigned(), self.out);
    }

    /// A `bool`.
    pub fn boolean(&mut self, field: u32, value: bool) {
        self.integer(field, i64::from(value));
    }

    /// A `double`.
    pub fn double(&mut self, field: u32, value: f64) {
        self.key(field, Wire::Fixed64);
        self.out.put(&value.to_le_bytes());
    }

    /// A message.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Writer<'_, S>)) {
        self.appended(field, |out| write(&mut Writer::new(out)));
    }

    /// `bytes` that the closure appends.
    pub fn appended(&mut self, field: u32, write: impl FnOnce(&mut S)) {
        self.key(field, Wire::Delimited);
        let at = self.out.taken();
        // Reserves one byte for the length, which suffices for most messages; `replace` moves
        // longer ones.
        self.out.put(&[0]);
        write(self.out);
        let length = self.out.taken() - at - 1;
        self.out.replace(at, length as u64);
    }

    fn key(&mut self, field: u32, wire: Wire) {
        write_varint(u64::from(field) << 3 | wire as u64, self.out);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn taken(&self) -> usize {
        self.len()
    }

    fn replace(&mut self, at: usize, number: u64) {
        let (groups, count) = varint(number);
        let end = self.len();
        if count > 1 {
            self.resize(end + count - 1, 0);
            self.copy_within(at + 1..end, at + count);
        }
        self[at..at + count].copy_from_slice(&groups[..count]);
    }
}

impl Sink for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn taken(&self) -> usize {
        self.0
    }

    fn replace(&mut self, _at: usize, number: u64) {
        self.0 += varint(number).1 - 1;
    }
}

/// Appends a varint.
fn write_varint(value: u64, out: &mut impl Sink) {
    match u8::try_from(value) {
        // Fast path for most numbers: tags, and lengths of short texts.
        Ok(short) if short < 0x80 => out.put(&[short]),
        _ => {
            let (groups, count) = varint(value);
            out.put(&groups[..count]);
        }
    }
}

/// A number in groups of seven bits, and the number of groups.
fn varint(mut value: u64) -> ([u8; 10], usize) {
    let mut groups = [0; 10];
    let mut count = 0;
    while value >= 0x80 {
        groups[count] = (value & 0x7f) as u8 | 0x80;
        value >>= 7;
        count += 1;
    }
    groups[count] = value as u8;
    (groups, count + 1)
}

#[cfg(test)]
mod tests {
    use super::{Length, Sink, Writer};

    fn check(write: impl FnOnce(&mut Writer<'_>), want: &[u8]) {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out));
        assert_eq!(out, want);
    }

    fn nested<S: Sink>(to: &mut Writer<'_, S>) {
        for size in [0, 10, 127, 128, 300, 20_000] {
            to.message(1, |to| {
                to.string(2, &"x".repeat(size));
                to.message(30, |to| to.bytes(3, &vec![1; size]));
            });
        }
        to.integer(4, -1);
    }

    #[test]
    fn length_sink_counts_the_written_bytes() {
        let (mut out, mut length) = (Vec::new(), Length::default());
        nested(&mut Writer::new(&mut out));
        nested(&mut Writer::new(&mut length));
        assert_eq!(length, Length(out.len()));
    }

    #[test]
    fn fields_are_written_with_number_type_and_value() {
        check(|to| to.string(1, "ab"), b"\x0a\x02ab");
        check(|to| to.string(1, ""), b"\x0a\x00");
        check(|to| to.integer(2, 300), b"\x10\xac\x02");
        check(
            |to| to.integer(1, -1),
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        );
        check(|to| to.boolean(16, true), b"\x80\x01\x01");
        check(|to| to.double(1, 0.5), b"\x09\0\0\0\0\0\0\xe0\x3f");
    }

    #[test]
    fn message_length_varint_grows_with_the_message() {
        check(|to| to.message(1, |_| {}), b"\x0a\x00");
        check(
            |to| {
                to.message(1, |to| to.message(2, |to| to.string(3, "x")));
                to.boolean(4, false);
            },
            b"\x0a\x05\x12\x03\x1a\x01x\x20\x00",
        );
        let long = "x".repeat(200);
        let mut want = b"\x0a\xcb\x01\x1a\xc8\x01".to_vec();
        want.extend_from_slice(long.as_bytes());
        check(|to| to.message(1, |to| to.string(3, &long)), &want);
    }
}
