//! The stamp of a store: which run of a driver committed last, and how many commits there were.
//!
//! Every transaction of a driver replaces the stamp in the row of `store`, so the database file
//! alone, each commit in its write-ahead log and the file of [`crate::position`] are comparable
//! (docs/adr/0021-sqlite-files-that-belong-together.md).

use crate::record::checksum;

/// First bytes of an encoded stamp. They locate it in a raw page of the write-ahead log.
const MAGIC: &[u8; 8] = b"ArkStamp";

/// Length of an encoded stamp: magic, generation, sequence, CRC32C.
const BYTES: usize = 8 + 16 + 8 + 4;

/// Random number of one run of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u128);

/// Stamp of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) generation: Generation,
    /// Number of commits so far; each adds one.
    pub(crate) sequence: u64,
}

// === impl Generation ===

impl Generation {
    /// Generation of a store that no driver has served.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn random() -> Self {
        Self(uuid::Uuid::new_v4().as_u128())
    }

    pub(crate) fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

// === impl Stamp ===

impl Stamp {
    /// Stamp of a store that no driver has served.
    pub(crate) const NONE: Self = Self {
        generation: Generation::NONE,
        sequence: 0,
    };

    /// Returns the stamp of the next commit.
    pub(crate) const fn next(self) -> Self {
        Self {
            sequence: self.sequence.saturating_add(1),
            ..self
        }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.generation.0.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Decodes a stamp at the start of `bytes`; `None` if it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..BYTES)?;
        let (content, sum) = bytes.split_at(BYTES - 4);
        let content_after_magic = content.strip_prefix(MAGIC)?;
        if checksum(content).to_be_bytes() != sum {
            return None;
        }
        let (generation, sequence) = content_after_magic.split_at(16);
        Some(Self {
            generation: Generation(u128::from_be_bytes(generation.try_into().ok()?)),
            sequence: u64::from_be_bytes(sequence.try_into().ok()?),
        })
    }

    /// Finds the stamp in a raw page that holds the row of `store` and nothing else.
    pub(crate) fn of_page(page: &[u8]) -> Option<Self> {
        // Leaf of a table, one cell: https://www.sqlite.org/fileformat2.html#b_tree_pages
        const LEAF: u8 = 0x0d;
        let header = page.get(..10)?;
        if header[0] != LEAF || header[3..5] != [0, 1] {
            return None;
        }
        let cell = usize::from(u16::from_be_bytes([header[8], header[9]]));
        let cell = page.get(cell..)?;
        let found = cell.windows(MAGIC.len()).position(|part| part == MAGIC)?;
        Self::decode(cell.get(found..)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Generation, Stamp};

    #[test]
    fn damaged_stamp_is_none() {
        let stamp = Stamp {
            generation: Generation::random(),
            sequence: 7,
        };
        let bytes = stamp.encode();
        assert_eq!(Stamp::decode(&bytes), Some(stamp));
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            assert_eq!(Stamp::decode(&damaged), None, "byte {position}");
        }
        assert_eq!(Stamp::decode(&bytes[1..]), None);
        let hex = stamp.generation.to_hex();
        assert_eq!(Generation::from_hex(&hex), Some(stamp.generation));
    }
}
