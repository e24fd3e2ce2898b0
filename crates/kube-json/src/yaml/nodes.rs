//! The nodes of a YAML document, as go-yaml's parser makes them: scalars are texts, aliases refer to
//! nodes.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{MAX_DEPTH, MAX_VALUES, syntax};
use crate::ParseError;

/// All nodes of a document; nodes refer to one another by index. The first one is the root.
pub(super) struct Nodes(Vec<Node>);

pub(super) struct Node {
    /// The line where the node begins, from 1.
    pub(super) line: usize,
    pub(super) content: Content,
}

pub(super) enum Content {
    Scalar(Scalar),
    List(Vec<usize>),
    /// Keys and values.
    Map(Vec<(usize, usize)>),
    Alias {
        name: String,
        target: usize,
    },
}

pub(super) struct Scalar {
    pub(super) text: String,
    /// Without quotes, so that the text determines the type.
    pub(super) plain: bool,
    /// `!!int`; `None` without a tag. Tags of other namespaces are kept as written.
    pub(super) tag: Option<String>,
}

/// A collection whose end is not reached.
struct Open {
    node: usize,
    /// The key whose value is next.
    key: Option<usize>,
}

impl Nodes {
    /// Reads the first document; `None` if there is none.
    pub(super) fn read(text: &str) -> Result<Option<Self>, ParseError> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.emit_unresolved_aliases = true;
        options.flow_nesting_limit = MAX_DEPTH;
        options.block_nesting_limit = MAX_DEPTH;
        let mut reader = Reader {
            text,
            nodes: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
        };
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| convert(&error, text))?;
            if matches!(event, Event::DocumentEnd) {
                break;
            }
            reader.event(event, span)?;
        }
        Ok((!reader.nodes.is_empty()).then_some(Self(reader.nodes)))
    }

    pub(super) fn get(&self, index: usize) -> &Node {
        &self.0[index]
    }
}

struct Reader<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    open: Vec<Open>,
    /// The nodes of the anchors.
    anchors: HashMap<usize, usize>,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), ParseError> {
        let (content, anchor, opens) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref().map(short_tag);
                let scalar = Scalar {
                    text: text.into_owned(),
                    // The tag `!` means a text.
                    plain: style == ScalarStyle::Plain && tag.as_deref() != Some("!"),
                    tag: tag.filter(|tag| tag != "!"),
                };
                (Content::Scalar(scalar), anchor, false)
            }
            Event::SequenceStart(_, anchor, _) => (Content::List(Vec::new()), anchor, true),
            Event::MappingStart(_, anchor, _) => (Content::Map(Vec::new()), anchor, true),
            Event::Alias(anchor) => {
                let name = span.slice(self.text).unwrap_or_default();
                let name = name.trim_start_matches('*').to_owned();
                let Some(&target) = self.anchors.get(&anchor) else {
                    return Err(unknown_anchor(&name));
                };
                (Content::Alias { name, target }, 0, false)
            }
            Event::UnresolvedAlias(name) => return Err(unknown_anchor(&name)),
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
                return Ok(());
            }
            _ => return Ok(()),
        };
        if self.nodes.len() == MAX_VALUES {
            let reason = format!("the document has more than {MAX_VALUES} values; send JSON");
            return Err(syntax(&reason));
        }
        if opens && self.open.len() == MAX_DEPTH {
            return Err(syntax(&format!("exceeded max depth of {MAX_DEPTH}")));
        }
        let index = self.nodes.len();
        let line = span.start.line();
        self.nodes.push(Node { line, content });
        if anchor != 0 {
            self.anchors.insert(anchor, index);
        }
        self.attach(index);
        if opens {
            self.open.push(Open {
                node: index,
                key: None,
            });
        }
        Ok(())
    }

    /// Adds a node to the innermost open collection.
    fn attach(&mut self, index: usize) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        match (&mut self.nodes[open.node].content, open.key.take()) {
            (Content::List(items), _) => items.push(index),
            (Content::Map(fields), Some(key)) => fields.push((key, index)),
            (Content::Map(_), None) => open.key = Some(index),
            (Content::Scalar(_) | Content::Alias { .. }, _) => {}
        }
    }
}

/// `!!int` for tags of YAML, other tags as they are.
fn short_tag(tag: &Tag) -> String {
    match tag.suffix_in_namespace("tag:yaml.org,2002:") {
        Some(name) => format!("!!{name}"),
        None => tag.to_string(),
    }
}

fn unknown_anchor(name: &str) -> ParseError {
    syntax(&format!("unknown anchor '{name}' referenced"))
}

/// The message of go-yaml for an error of the scanner or the parser, as far as both have it.
fn convert(error: &ScanError, input: &str) -> ParseError {
    let (text, scanner) = match error.kind() {
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidSimpleKey => {
            ("mapping values are not allowed in this context", true)
        }
        ErrorKind::BlockSequenceEntryNotAllowed => (
            "block sequence entries are not allowed in this context",
            true,
        ),
        ErrorKind::SimpleKeyExpected => ("could not find expected ':'", true),
        ErrorKind::UnclosedQuotedScalar => ("found unexpected end of stream", true),
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            ("control characters are not allowed", false)
        }
        ErrorKind::UnexpectedCharacter { .. }
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation => ("found character that cannot start any token", true),
        ErrorKind::UnknownQuotedScalarEscape => ("found unknown escape character", true),
        ErrorKind::InvalidQuotedScalarHexEscape => {
            ("did not find expected hexdecimal number", true)
        }
        ErrorKind::MissingAnchorOrAliasName => (
            "did not find expected alphabetic or numeric character",
            true,
        ),
        ErrorKind::InvalidBlockScalarHeader => {
            ("did not find expected comment or line break", true)
        }
        ErrorKind::TabAtBlockScalarStart => (
            "found a tab character where an indentation space is expected",
            true,
        ),
        ErrorKind::UnclosedVerbatimTag => ("did not find the expected '>'", true),
        ErrorKind::UnsupportedYamlMajorVersion => ("found incompatible YAML document", false),
        ErrorKind::UndeclaredTagHandle => ("found undefined tag handle", false),
        ErrorKind::ExpectedNodeContent
        | ErrorKind::MisplacedFlowCollectionEnd
        | ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::UnexpectedEofBlockSequence => ("did not find expected node content", false),
        ErrorKind::ExpectedBlockMappingKey => ("did not find expected key", false),
        ErrorKind::ExpectedBlockSequenceEntry => ("did not find expected '-' indicator", false),
        ErrorKind::UnclosedFlowCollection { open } => return unclosed(*open, input),
        ErrorKind::UnexpectedEofFlowMapping => return unclosed('{', input),
        ErrorKind::UnexpectedEofFlowSequence => return unclosed('[', input),
        ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::MismatchedFlowCollectionEnd { open: '{', .. } => {
            ("did not find expected ',' or '}'", false)
        }
        ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::MismatchedFlowCollectionEnd { .. } => {
            ("did not find expected ',' or ']'", false)
        }
        _ => return at(*error.marker(), true, &error.info()),
    };
    at(*error.marker(), scanner, text)
}

/// The error for a list or map in flow style that does not end; go-yaml reports the line after the
/// last one.
fn unclosed(open: char, input: &str) -> ParseError {
    let reason = match open {
        _ if input.trim_end().ends_with(['[', '{', ',', ':']) => {
            "did not find expected node content"
        }
        '{' => "did not find expected ',' or '}'",
        _ => "did not find expected ',' or ']'",
    };
    syntax(&format!("line {}: {reason}", input.lines().count()))
}

/// go-yaml counts lines from 0, adds one only for errors of its scanner, and omits line 0.
fn at(marker: Marker, scanner: bool, text: &str) -> ParseError {
    match marker.line().saturating_sub(1) {
        0 => syntax(text),
        line => syntax(&format!("line {}: {text}", line + usize::from(scanner))),
    }
}
