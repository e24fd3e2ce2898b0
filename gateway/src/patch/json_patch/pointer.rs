//! Targets of operations.

use std::borrow::Cow;

use super::error::Inapplicable;
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
        let (above, last) = text.rsplit_once('/').ok_or(Inapplicable::NoContainer)?;
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
            let child = at.child(&token).ok().flatten();
            at = child.ok_or(Inapplicable::NoContainer)?;
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
                let inserted = items.insert(index, value);
                inserted.map_err(|_| no_index(&token))
            }
            (Node::Whole(_), _) => Err(Inapplicable::NoContainer),
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
            (Node::Object(map), key) => {
                let removed = map.remove(&*key);
                removed.ok_or_else(|| Inapplicable::NoKey(key.into_owned()))
            }
            (Node::Array(items), token) => {
                let index = index(&token, items.len())?;
                items.remove(index).ok_or_else(|| no_index(&token))
            }
            (Node::Whole(_), _) => Err(Inapplicable::NoContainer),
        }
    }

    /// The container of the target, and the last token.
    fn container(self, root: &mut Node) -> Result<(&mut Node, Cow<'a, str>), Inapplicable> {
        let mut at = root;
        for token in self.tokens_above() {
            at = at.child(&token).map_err(|_| Inapplicable::NoContainer)?;
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
    let parsed = token.parse::<i64>();
    let index = parsed.map_err(|_| Inapplicable::NotIndex(token.to_owned()))?;
    if index >= 0 {
        return usize::try_from(index).map_err(|_| Inapplicable::NoIndex(index));
    }
    let back = usize::try_from(index.unsigned_abs()).ok();
    let from_end = back.and_then(|back| len.checked_sub(back));
    from_end.ok_or(Inapplicable::NoIndex(index))
}

/// The error for an index that no item has.
pub(super) fn no_index(token: &str) -> Inapplicable {
    match token.parse() {
        Ok(index) => Inapplicable::NoIndex(index),
        Err(_) => Inapplicable::NotIndex(token.to_owned()),
    }
}
