//! Reading of `fieldsV1`.

use std::sync::Arc;

use serde_json::Value;

use crate::element::{KeyField, PathElement};
use crate::set::{Builder, FieldSet, normalize};
use crate::value::sorted;
use crate::wire::FieldsReader;
use crate::wire::lenient::{Bad, Lenient};

/// Longest part of a text that a message quotes, in bytes.
const QUOTED: usize = 64;

/// Why a text is no set of fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// The document has another form.
    #[error("fields at byte {at}: {problem}")]
    Document {
        /// Position of the problem.
        at: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// The name of a member is no path element.
    #[error("element {element:?}: {problem}")]
    Element {
        /// The name; only its beginning if it is long.
        element: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl From<Bad> for FieldsError {
    fn from(bad: Bad) -> Self {
        Self::Document {
            at: bad.at,
            problem: bad.problem,
        }
    }
}

/// The objects that are open.
#[derive(Default)]
struct Assembler {
    builder: Builder,
    /// Whether siblings may be out of order.
    unsorted: bool,
    /// By depth, the greatest element so far.
    last: Vec<Option<PathElement>>,
    /// By depth below the root, whether the element is marked as a member.
    marked: Vec<bool>,
    /// Whether an object had a child, by depth.
    children: Vec<bool>,
}

// === impl Assembler ===

impl Assembler {
    fn new() -> Self {
        Self {
            last: vec![None],
            children: vec![false],
            ..Self::default()
        }
    }

    /// Begins the object of an element.
    fn open(&mut self, element: PathElement) {
        if let Some(last) = self.last.last_mut() {
            let sorted = last
                .as_ref()
                .is_none_or(|last| last.compare(&element).is_lt());
            self.unsorted |= !sorted;
            *last = Some(element.clone());
        }
        if let Some(children) = self.children.last_mut() {
            *children = true;
        }
        // Whether it is a member is known at the end. Until then it is kept as one.
        self.builder.push(self.marked.len(), element, true);
        self.last.push(None);
        self.children.push(false);
        self.marked.push(false);
    }

    /// Notes the member `"."` of the innermost object.
    fn mark(&mut self) {
        if let Some(marked) = self.marked.last_mut() {
            *marked = true;
        }
    }

    /// Ends the innermost object; returns whether it was not the root.
    fn close(&mut self) -> bool {
        let (Some(marked), Some(children)) = (self.marked.pop(), self.children.pop()) else {
            return false;
        };
        self.last.pop();
        // Deeper nodes are complete, so this node is the innermost open one.
        self.builder.close(self.marked.len() + 1);
        if children && !marked {
            self.builder.unmark();
        }
        true
    }

    fn finish(self) -> FieldSet {
        if self.unsorted {
            normalize(&self.builder.into_nodes())
        } else {
            self.builder.finish()
        }
    }
}

pub(super) fn text(reader: &FieldsReader<'_>, text: &str) -> Result<FieldSet, FieldsError> {
    let mut json = Lenient::new(text, reader.depth);
    let mut fields = Assembler::new();
    // The root counts as an element that was just read.
    let mut opened = true;
    loop {
        let ended = if opened {
            !begin(&mut json)?
        } else {
            !json.take(b',')
        };
        if ended {
            if !opened {
                if !json.take(b'}') {
                    return json
                        .bad("expected } at the end of an object")
                        .map_err(Into::into);
                }
                json.leave();
            }
            opened = false;
            if !fields.close() {
                json.end()?;
                return Ok(fields.finish());
            }
            continue;
        }
        let name = json.name()?;
        opened = false;
        match member(reader, &name)? {
            Member::Mark => {
                json.value()?;
                fields.mark();
            }
            Member::Unknown => {
                json.value()?;
            }
            Member::Element(element) => {
                fields.open(element);
                opened = true;
            }
        }
    }
}

/// Reads the beginning of an object; returns whether a member follows. `null` is an empty object.
fn begin(json: &mut Lenient<'_>) -> Result<bool, Bad> {
    if json.peek() == b'n' {
        return json.literal("null", false);
    }
    if !json.take(b'{') {
        return json.bad("expected { or null");
    }
    json.enter()?;
    if json.take(b'}') {
        json.leave();
        return Ok(false);
    }
    match json.peek() {
        b'"' => Ok(true),
        _ => json.bad("expected the name of a member"),
    }
}

pub(super) fn value(reader: &FieldsReader<'_>, value: &Value) -> Result<FieldSet, FieldsError> {
    let mut fields = Assembler::new();
    let mut stack = vec![object(value, 0, reader)?.into_iter()];
    while let Some(members) = stack.last_mut() {
        let Some((name, below)) = members.next() else {
            stack.pop();
            fields.close();
            continue;
        };
        match member(reader, name)? {
            Member::Mark => fields.mark(),
            Member::Unknown => {}
            Member::Element(element) => {
                fields.open(element);
                let below = object(below, stack.len(), reader)?;
                stack.push(below.into_iter());
            }
        }
    }
    Ok(fields.finish())
}

fn object<'v>(
    value: &'v Value,
    depth: usize,
    reader: &FieldsReader<'_>,
) -> Result<Vec<(&'v str, &'v Value)>, FieldsError> {
    let problem = match value {
        Value::Object(_) if depth >= reader.depth => "exceeded max depth",
        Value::Object(members) => return Ok(sorted(members)),
        Value::Null => return Ok(Vec::new()),
        _ => "expected { or null",
    };
    Err(FieldsError::Document { at: 0, problem })
}

/// A member of an object of fields.
enum Member {
    Mark,
    Unknown,
    Element(PathElement),
}

fn member(reader: &FieldsReader<'_>, name: &str) -> Result<Member, FieldsError> {
    if name == "." {
        return Ok(Member::Mark);
    }
    Ok(element(reader, name)?.map_or(Member::Unknown, Member::Element))
}

pub(super) fn element(
    reader: &FieldsReader<'_>,
    text: &str,
) -> Result<Option<PathElement>, FieldsError> {
    let bad = |problem| FieldsError::Element {
        element: text[..text.floor_char_boundary(QUOTED)].to_owned(),
        problem,
    };
    let bytes = text.as_bytes();
    if bytes.len() < 2 {
        return Err(bad("an element has at least two characters"));
    }
    if bytes[1] != b':' {
        return Err(bad("missing colon"));
    }
    // Both bytes are ASCII, or the first is none and the element unknown.
    let content = text.get(2..).unwrap_or_default();
    let element = match bytes[0] {
        b'f' => PathElement::Field(share(reader, content)),
        b'v' => {
            let mut json = Lenient::new(content, reader.depth);
            let value = json.value().and_then(|value| json.end().map(|()| value));
            PathElement::value(value.map_err(|error| bad(error.problem))?)
        }
        b'k' => {
            let mut json = Lenient::new(content, reader.depth);
            let mut fields = Vec::new();
            let outcome = json.object(|name, value| {
                let name = share(reader, &name);
                fields.push(KeyField { name, value });
            });
            let outcome = outcome.and_then(|()| json.end());
            outcome.map_err(|error| bad(error.problem))?;
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            PathElement::Key(fields.into())
        }
        b'i' => {
            // Go's Atoi accepts a sign, like this parser.
            let index = content.parse().map_err(|_| bad("invalid index"))?;
            PathElement::Index(index)
        }
        _ => return Ok(None),
    };
    Ok(Some(element))
}

fn share(reader: &FieldsReader<'_>, name: &str) -> Arc<str> {
    let known = reader.names.and_then(|schema| schema.shared_name(name));
    known.map_or_else(|| Arc::from(name), Arc::clone)
}
