//! Where an operation points to.

use serde_json::{Map, Value};

use super::Fails;

/// A member of an object or an item of a list, whether it exists or not.
pub(super) enum Place<'a> {
    Member(&'a mut Map<String, Value>, String),
    Item(&'a mut Vec<Value>, String),
}

/// Follows a pointer up to its last part.
pub(super) fn find<'a>(object: &'a mut Value, pointer: &str) -> Result<Place<'a>, Fails> {
    let mut parts: Vec<&str> = pointer.split('/').collect();
    // What stands before the first slash is ignored, a pointer without any points nowhere.
    if parts.len() < 2 {
        return Err(Fails);
    }
    let last = decode(parts.pop().unwrap_or_default());
    let mut at = object;
    for part in &parts[1..] {
        let part = decode(part);
        at = match at {
            Value::Object(map) => map.get_mut(&part).ok_or(Fails)?,
            Value::Array(items) => {
                let index = index(&part, items.len())?;
                items.get_mut(index).ok_or(Fails)?
            }
            _ => return Err(Fails),
        };
    }
    match at {
        Value::Object(map) => Ok(Place::Member(map, last)),
        Value::Array(items) => Ok(Place::Item(items, last)),
        _ => Err(Fails),
    }
}

fn decode(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// An index into so many items; from the end if negative.
fn index(part: &str, len: usize) -> Result<usize, Fails> {
    // Go's Atoi takes a plus sign, and so does parse.
    let index: i64 = part.parse().map_err(|_| Fails)?;
    if index >= 0 {
        return usize::try_from(index).map_err(|_| Fails);
    }
    let back = usize::try_from(index.unsigned_abs()).map_err(|_| Fails)?;
    len.checked_sub(back).ok_or(Fails)
}

impl Place<'_> {
    /// The value; nothing if an object has no such member.
    pub(super) fn get(&self) -> Result<Option<Value>, Fails> {
        match self {
            Self::Member(map, key) => Ok(map.get(key).cloned()),
            Self::Item(items, part) => {
                let item = items.get(index(part, items.len())?);
                item.cloned().map(Some).ok_or(Fails)
            }
        }
    }

    /// Sets a member, or inserts an item before the one that is there.
    pub(super) fn add(self, value: Value) -> Result<(), Fails> {
        match self {
            Self::Member(map, key) => {
                map.insert(key, value);
            }
            Self::Item(items, part) if part == "-" => items.push(value),
            Self::Item(items, part) => {
                // Minus one is the end of the list as it will be.
                let index = index(&part, items.len() + 1)?;
                if index > items.len() {
                    return Err(Fails);
                }
                items.insert(index, value);
            }
        }
        Ok(())
    }

    /// Sets a member, or an item that is there.
    pub(super) fn set(self, value: Value) -> Result<(), Fails> {
        match self {
            Self::Member(map, key) => {
                map.insert(key, value);
            }
            Self::Item(items, part) => {
                let index = index(&part, items.len())?;
                *items.get_mut(index).ok_or(Fails)? = value;
            }
        }
        Ok(())
    }

    /// Takes a member or an item out.
    pub(super) fn remove(self) -> Result<Value, Fails> {
        match self {
            Self::Member(map, key) => map.remove(&key).ok_or(Fails),
            Self::Item(items, part) => {
                let index = index(&part, items.len())?;
                if index >= items.len() {
                    return Err(Fails);
                }
                Ok(items.remove(index))
            }
        }
    }
}
