//! Targets of operations.

use std::borrow::Cow;

use super::Inapplicable;
use super::tree::{Node, ValueRef};

/// A JSON pointer. Borrowed without allocation: a client may send three million tokens.
#[derive(Clone, Copy)]
pub(super) struct Pointer<'a> {
    /// All tokens but the last.
    above: &'a str,
    last: &'a str,
}

impl<'a> Pointer<'a> {
    /// # Errors
    /// If the text contains no slash, and so no token.
    pub(super) fn new(text: &'a str) -> Result<Self, Inapplicable> {
        // The library ignores text before the first slash.
        let (above, last) = text.rsplit_once('/').ok_or(Inapplicable)?;
        Ok(Self { above, last })
    }

    /// Number of tokens.
    pub(super) fn len(self) -> usize {
        1 + self.above.matches('/').count()
    }

    /// The value; none if an object has no such member.
    pub(super) fn get(self, root: &Node) -> Result<Option<ValueRef<'_>>, Inapplicable> {
        let mut at = root.view();
        for token in self.tokens_above() {
            at = at.child(&token)?.ok_or(Inapplicable)?;
        }
        at.child(&decode(self.last))
    }

    /// Sets a member, or inserts an item before an existing one.
    pub(super) fn add(self, root: &mut Node, value: Node) -> Result<(), Inapplicable> {
        match self.container(root)? {
            (Node::Object(map), key) => {
                map.insert(key.into_owned(), value);
                Ok(())
            }
            (Node::Array(items), token) => {
                let end = items.len();
                // `-1` is the end of the list after the insert.
                let index = if token == "-" {
                    end
                } else {
                    index(&token, end + 1)?
                };
                items.insert(index, value).map_err(|_| Inapplicable)
            }
            (Node::Whole(_), _) => Err(Inapplicable),
        }
    }

    /// Sets a member, or replaces an existing item.
    pub(super) fn set(self, root: &mut Node, value: Node) -> Result<(), Inapplicable> {
        match self.container(root)? {
            (Node::Object(map), key) => {
                map.insert(key.into_owned(), value);
            }
            (container, token) => *container.child(&token)? = value,
        }
        Ok(())
    }

    /// Removes a member or an item.
    pub(super) fn remove(self, root: &mut Node) -> Result<Node, Inapplicable> {
        match self.container(root)? {
            (Node::Object(map), key) => map.remove(&*key).ok_or(Inapplicable),
            (Node::Array(items), token) => {
                let index = index(&token, items.len())?;
                items.remove(index).ok_or(Inapplicable)
            }
            (Node::Whole(_), _) => Err(Inapplicable),
        }
    }

    /// The container of the target, and the last token.
    fn container(self, root: &mut Node) -> Result<(&mut Node, Cow<'a, str>), Inapplicable> {
        let mut at = root;
        for token in self.tokens_above() {
            at = at.child(&token)?;
        }
        at.open();
        Ok((at, decode(self.last)))
    }

    fn tokens_above(self) -> impl Iterator<Item = Cow<'a, str>> {
        self.above.split('/').skip(1).map(decode)
    }
}

fn decode(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        token.replace("~1", "/").replace("~0", "~").into()
    } else {
        token.into()
    }
}

/// An index into a list of this length; negative indices count from the end.
pub(super) fn index(token: &str, len: usize) -> Result<usize, Inapplicable> {
    // Go's `Atoi` accepts a plus sign, and so does `parse`.
    let index: i64 = token.parse().map_err(|_| Inapplicable)?;
    if index >= 0 {
        return usize::try_from(index).map_err(|_| Inapplicable);
    }
    let back = usize::try_from(index.unsigned_abs()).map_err(|_| Inapplicable)?;
    len.checked_sub(back).ok_or(Inapplicable)
}
