//! The path of a field in an object.

use std::fmt;

/// The path from an object's root to a field, as a list linked towards the root.
///
/// A path borrows its parent, so descending into an object does not allocate. The text is made only
/// for an error.
///
/// ```
/// use api_types::field::Path;
/// let spec = Path::new("spec");
/// assert_eq!(spec.child("list").index(3).child("a").key("b").to_string(), "spec.list[3].a[b]");
/// assert_eq!(Path::nil().to_string(), "<nil>");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Self>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Nil,
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// The nil path of Go, printed as `<nil>`; its children are roots.
    #[must_use]
    pub const fn nil() -> Self {
        Self {
            parent: None,
            segment: Segment::Nil,
        }
    }

    /// A root field. The name may contain dots.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self {
            parent: None,
            segment: Segment::Name(name),
        }
    }

    /// A field of this object.
    #[must_use]
    pub const fn child(&'a self, name: &'a str) -> Self {
        self.push(Segment::Name(name))
    }

    /// An item of this list.
    #[must_use]
    pub const fn index(&'a self, index: usize) -> Self {
        self.push(Segment::Index(index))
    }

    /// An entry of this map.
    #[must_use]
    pub const fn key(&'a self, key: &'a str) -> Self {
        self.push(Segment::Key(key))
    }

    /// Whether this is [`Path::nil`].
    #[must_use]
    pub const fn is_nil(&self) -> bool {
        matches!(self.segment, Segment::Nil)
    }

    const fn push(&'a self, segment: Segment<'a>) -> Self {
        Self {
            parent: if self.is_nil() { None } else { Some(self) },
            segment,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A loop instead of recursion, because deep objects would exhaust the thread's stack.
        let mut segments = Vec::new();
        let mut next = Some(self);
        while let Some(path) = next {
            segments.push(path);
            next = path.parent;
        }
        for path in segments.into_iter().rev() {
            match path.segment {
                Segment::Nil => out.write_str("<nil>")?,
                // Go prints a field with an empty name as an empty subscript.
                Segment::Name("") => out.write_str("[]")?,
                Segment::Name(name) if path.parent.is_some() => write!(out, ".{name}")?,
                Segment::Name(name) => out.write_str(name)?,
                Segment::Index(index) => write!(out, "[{index}]")?,
                Segment::Key(key) => write!(out, "[{key}]")?,
            }
        }
        Ok(())
    }
}
