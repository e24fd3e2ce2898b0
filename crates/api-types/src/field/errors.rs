//! Errors of one object, with a limit on their total size.

use std::collections::HashSet;
use std::ops::Deref;

use super::{Error, Path};

/// Limit of the bytes of one object's errors. kube-apiserver has no limit and responds to a body of
/// 200 kB with hundreds of megabytes; readable responses are far below this value.
pub const MAX_BYTES: usize = 1 << 20;

/// Bytes that count for an error in addition to its texts. This limits the number of errors as
/// well, to [`MAX_BYTES`] / 64 = 16384.
const OVERHEAD: usize = 64;

/// Limit of the errors that are made for one list, repeated ones included. Validation of a list stops
/// there: each error costs about a microsecond.
const MAX_OFFERED: usize = 65_536;

/// A list of errors that stops growing at [`MAX_BYTES`]. Its last entry then states that errors
/// were omitted.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    list: Vec<Error>,
    bytes: usize,
    full: bool,
    offered: usize,
    /// All texts so far, if repeated ones are dropped.
    texts: Option<HashSet<String>>,
}

/// A length of a list, for [`Errors::rewind`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    length: usize,
    bytes: usize,
    full: bool,
}

impl Errors {
    /// An empty list that keeps repeated errors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty list that keeps the first of errors with the same text, as `field.ErrorList.Filter`
    /// does.
    #[must_use]
    pub fn distinct() -> Self {
        Self {
            texts: Some(HashSet::new()),
            ..Self::default()
        }
    }

    /// Whether repeated errors are dropped.
    #[must_use]
    pub const fn is_distinct(&self) -> bool {
        self.texts.is_some()
    }

    /// Adds the error that `make` builds. Does not call `make` once the list is full.
    pub fn add(&mut self, make: impl FnOnce() -> Error) {
        if self.full {
            return;
        }
        self.offered += 1;
        if self.bytes >= MAX_BYTES {
            self.list.push(more());
            self.full = true;
            return;
        }
        let error = make();
        if let Some(texts) = &mut self.texts
            && !texts.insert(error.to_string())
        {
            return;
        }
        self.bytes += error.size() + OVERHEAD;
        self.list.push(error);
    }

    /// Whether validation should stop: the list is full, or too many errors were offered.
    #[must_use]
    pub const fn is_exhausted(&self) -> bool {
        self.full || self.offered >= MAX_OFFERED
    }

    /// The current length.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        Mark {
            length: self.list.len(),
            bytes: self.bytes,
            full: self.full,
        }
    }

    /// Whether errors were added after the mark.
    #[must_use]
    pub const fn grown_since(&self, mark: Mark) -> bool {
        self.list.len() > mark.length
    }

    /// Drops the errors added after the mark. Not for [`distinct`](Self::distinct) lists, which
    /// would continue to drop errors with the same texts.
    pub fn rewind(&mut self, mark: Mark) {
        self.list.truncate(mark.length);
        self.bytes = mark.bytes;
        self.full = mark.full;
    }

    /// Appends another list, including its state of having omitted errors.
    pub fn append(&mut self, other: Self) {
        self.extend(other.list);
        self.full |= other.full;
    }

    /// Replaces or drops every error.
    #[must_use]
    pub fn filter_map(mut self, change: impl FnMut(Error) -> Option<Error>) -> Self {
        self.list = self.list.into_iter().filter_map(change).collect();
        self
    }

    /// The errors as a plain list.
    #[must_use]
    pub fn into_vec(self) -> Vec<Error> {
        self.list
    }
}

impl Deref for Errors {
    type Target = [Error];

    fn deref(&self) -> &[Error] {
        &self.list
    }
}

/// Stops reading the iterator once the list is full.
impl Extend<Error> for Errors {
    fn extend<T: IntoIterator<Item = Error>>(&mut self, errors: T) {
        let mut errors = errors.into_iter();
        while !self.full {
            let Some(error) = errors.next() else {
                return;
            };
            self.add(|| error);
        }
    }
}

impl FromIterator<Error> for Errors {
    fn from_iter<T: IntoIterator<Item = Error>>(errors: T) -> Self {
        let mut list = Self::new();
        list.extend(errors);
        list
    }
}

/// The last error of a full list. Its text follows the error about rules that were not checked.
pub(crate) fn more() -> Error {
    let detail = "some errors are not shown because there are too many; correct the errors shown \
                  to see the others";
    Error::invalid(Path::nil(), "", detail)
}

#[cfg(test)]
mod tests {
    use super::{Error, Errors, MAX_BYTES, more};

    #[test]
    fn errors_beyond_the_limit_are_not_built() {
        let mut errors = Errors::new();
        let mut built = 0;
        for index in 0..1_000_000 {
            errors.add(|| {
                built += 1;
                Error::required(format!("spec.items[{index}]"), "")
            });
        }
        assert!(built < MAX_BYTES / super::OVERHEAD, "{built}");
        assert_eq!(errors.len(), built + 1);
        assert_eq!(errors.last(), Some(&more()));
    }

    #[test]
    fn first_error_of_any_size_is_kept() {
        let mut errors = Errors::new();
        errors.add(|| Error::invalid("a", "x".repeat(2 * MAX_BYTES), ""));
        errors.add(|| unreachable!("the list is full"));
        assert_eq!(errors.len(), 2);
    }

    #[test]
    fn rewind_frees_capacity() {
        let mut errors = Errors::new();
        errors.add(|| Error::required("kept", ""));
        let mark = errors.mark();
        for _ in 0..MAX_BYTES {
            errors.add(|| Error::required("dropped", ""));
        }
        assert!(errors.grown_since(mark));
        errors.rewind(mark);
        errors.add(|| Error::required("after", ""));
        let fields: Vec<&str> = errors.iter().map(|error| &*error.field).collect();
        assert_eq!(fields, ["kept", "after"]);
    }

    #[test]
    fn distinct_list_keeps_the_first_of_equal_errors() {
        let mut errors = Errors::distinct();
        errors.extend((0..1000).map(|_| Error::required("a", "")));
        errors.add(|| Error::required("b", ""));
        assert_eq!(errors.len(), 2);
    }
}
