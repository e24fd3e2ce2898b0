//! Cost of trees: memory, text and depth.
//!
//! A tree takes many times the memory of its text: 32 bytes for the `0,` of a list, and 680 for
//! `{"":0},`, because a `BTreeMap` allocates nodes for eleven members. A limit of the text
//! therefore does not bound the memory.

use serde_json::Value;

use crate::error::ParseError;

/// Memory that a document's tree may use in addition to [`MEMORY_PER_BYTE`], in bytes.
const MEMORY_BASE: usize = 64 << 20;

/// Memory of a tree per byte of its text. Real objects use 2 to 27 (lists of small objects).
const MEMORY_PER_BYTE: usize = 8;

/// Size of a `Value`, and so of an item of an array.
const ITEM: usize = size_of::<Value>();

/// Size of a leaf of a `BTreeMap<String, Value>`: eleven keys and values, a parent and counters.
const LEAF: usize = 11 * (size_of::<String>() + ITEM) + 16;

/// Members in a leaf when keys are inserted in order, because a full leaf is split.
const LEAF_MEMBERS: usize = 6;

/// Approximate cost of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Bytes of memory.
    pub memory: usize,
    /// Bytes of the shortest JSON text of this tree.
    pub text: usize,
    /// Largest number of nested arrays and objects.
    pub depth: usize,
}

/// Memory that a tree may still use.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    left: usize,
}

/// Limit of the memory, in bytes, of the tree of a text with `text` bytes: 64 MiB plus eight times
/// its length.
#[must_use]
pub const fn memory_limit(text: usize) -> usize {
    MEMORY_BASE + text.saturating_mul(MEMORY_PER_BYTE)
}

/// Upper bound of the memory of a text's tree, in bytes, from one pass over the text; for YAML with
/// aliases the value of [`memory_limit`].
///
/// Characters that are structure in one place and text in another count as structure, so prose is
/// overestimated by a factor of two or three.
#[must_use]
pub fn estimate(text: &[u8], yaml: bool) -> usize {
    let (mut items, mut members, mut objects, mut strings, mut aliases) = (0, 0, 0, 0, 0);
    for byte in text {
        items += usize::from(matches!(byte, b',' | b'[' | b'\n'));
        members += usize::from(*byte == b':');
        objects += usize::from(*byte == b'{');
        strings += usize::from(*byte == b'"');
        aliases += usize::from(*byte == b'*');
    }
    let limit = memory_limit(text.len());
    if yaml && aliases > 0 {
        return limit;
    }
    let items = ITEM * items;
    // A single member has its own leaf.
    let members = LEAF * objects.min(members) + LEAF / LEAF_MEMBERS * members;
    (text.len() + items + members + 8 * strings).min(limit)
}

/// Limit of the indentation of a document, in bytes, for compact JSON of `text` bytes: 8 MiB plus
/// twice its length.
pub(crate) const fn indentation_limit(text: usize) -> usize {
    (8 << 20) + text.saturating_mul(2)
}

impl Weight {
    /// Computes the weight of a tree.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        let mut weight = Self::default();
        weight.depth = weight.add(value);
        weight
    }

    /// Checks whether [`parse`](crate::parse) would accept the memory of the tree's text.
    ///
    /// # Errors
    /// If it would not.
    pub const fn check(&self) -> Result<(), ParseError> {
        let limit = memory_limit(self.text);
        if self.memory > limit {
            return Err(ParseError::TooLarge { limit });
        }
        Ok(())
    }

    /// Adds the cost of a value except its slot in a container; returns its depth.
    fn add(&mut self, value: &Value) -> usize {
        match value {
            Value::Null | Value::Bool(true) => self.text += 4,
            Value::Bool(false) => self.text += 5,
            Value::Number(_) => self.text += 1,
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                self.text += 1 + items.len().max(1);
                self.memory += items.len() * ITEM;
                return 1 + items.iter().map(|it| self.add(it)).max().unwrap_or(0);
            }
            Value::Object(fields) => {
                self.text += 1 + fields.len().max(1);
                let mut deepest = 0;
                for (index, (key, value)) in fields.iter().enumerate() {
                    self.memory += member(index);
                    self.text += 1;
                    self.string(key);
                    deepest = deepest.max(self.add(value));
                }
                return 1 + deepest;
            }
        }
        0
    }

    const fn string(&mut self, text: &str) {
        self.text += text.len() + 2;
        self.memory += string(text.len());
    }
}

impl Budget {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, left: limit }
    }

    /// Adds an item of an array.
    pub(crate) fn item(&mut self) -> Result<(), ParseError> {
        self.take(ITEM)
    }

    /// Adds a member of an object that has `members` members.
    pub(crate) fn member(&mut self, members: usize) -> Result<(), ParseError> {
        self.take(member(members))
    }

    /// Adds a string with an allocation of `capacity` bytes.
    pub(crate) fn string(&mut self, capacity: usize) -> Result<(), ParseError> {
        self.take(string(capacity))
    }

    fn take(&mut self, bytes: usize) -> Result<(), ParseError> {
        let limit = self.limit;
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or(ParseError::TooLarge { limit })?;
        Ok(())
    }
}

/// Memory, in bytes, of a further member in an object with `members` members, without the content
/// of its value.
#[must_use]
pub const fn member_memory(members: usize, key: &str) -> usize {
    member(members) + string(key.len())
}

/// Memory of a member of an object without its key and the content of its value.
const fn member(index: usize) -> usize {
    match index {
        0 => LEAF,
        1..LEAF_MEMBERS => 0,
        _ => LEAF / LEAF_MEMBERS,
    }
}

/// Memory of a string: allocators round up to multiples of sixteen bytes.
const fn string(capacity: usize) -> usize {
    capacity.next_multiple_of(16)
}

#[cfg(test)]
mod tests;
