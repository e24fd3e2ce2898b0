//! From the nodes of a document to a JSON value: aliases, merge keys, and keys that are not texts
//! (the decoder of go-yaml v2, and `convertToJSONableObject` of `sigs.k8s.io/yaml`).

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::nodes::{Content, Node, Nodes, Scalar};
use super::resolve::{Resolved, resolve};
use super::{MAX_DEPTH, syntax};
use crate::ParseError;

/// Limit of reported repeated keys, and of the bytes of their texts.
const MAX_REPEATED: usize = 100;
const MAX_REPEATED_BYTES: usize = 64 << 10;

/// What aliases may add to a document.
#[derive(Clone, Copy)]
pub(super) struct Allowance {
    /// Values.
    pub(super) values: usize,
    /// Bytes of texts.
    pub(super) bytes: usize,
}

/// A value, and the repeated keys as go-yaml reports them.
pub(super) fn decode(
    nodes: &Nodes,
    allowance: Allowance,
) -> Result<(Value, Vec<String>), ParseError> {
    let mut decoder = Decoder {
        nodes,
        allowance,
        aliases: Vec::new(),
        depth: 0,
        repeated: Vec::new(),
        repeated_bytes: 0,
    };
    let value = decoder.value(0)?;
    Ok((value, decoder.repeated))
}

struct Decoder<'a> {
    nodes: &'a Nodes,
    allowance: Allowance,
    /// The aliases that are being expanded.
    aliases: Vec<usize>,
    depth: usize,
    repeated: Vec<String>,
    repeated_bytes: usize,
}

/// The keys of a map: keys of different types do not repeat one another, but the last one wins.
#[derive(Default)]
struct Fields {
    map: Map<String, Value>,
    /// Keys that are not texts, with a letter for their type.
    typed: HashSet<(char, String)>,
    /// Texts.
    texts: HashSet<String>,
}

impl Decoder<'_> {
    /// Counts the node if it is expanded from an alias.
    fn enter(&mut self, node: &Node) -> Result<(), ParseError> {
        if self.aliases.is_empty() {
            return Ok(());
        }
        let bytes = match &node.content {
            Content::Scalar(scalar) => scalar.text.len(),
            Content::List(_) | Content::Map(_) | Content::Alias { .. } => 0,
        };
        let left = (
            self.allowance.values.checked_sub(1),
            self.allowance.bytes.checked_sub(bytes),
        );
        let (Some(values), Some(bytes)) = left else {
            return Err(syntax("document contains excessive aliasing"));
        };
        self.allowance = Allowance { values, bytes };
        Ok(())
    }

    /// Runs a step one level deeper.
    fn deeper<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth == MAX_DEPTH {
            return Err(syntax(&format!("exceeded max depth of {MAX_DEPTH}")));
        }
        self.depth += 1;
        let done = step(self);
        self.depth -= 1;
        done
    }

    /// Runs a step with the node of an alias.
    fn expanded<T>(
        &mut self,
        (alias, name, target): (usize, &str, usize),
        step: impl FnOnce(&mut Self, usize) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        // bounded: each level of aliases is one of the depth
        if self.aliases.contains(&alias) {
            let reason = format!("anchor '{name}' value contains itself");
            return Err(syntax(&reason));
        }
        self.aliases.push(alias);
        let done = self.deeper(|decoder| step(decoder, target));
        self.aliases.pop();
        done
    }

    // bounded: by MAX_DEPTH
    fn value(&mut self, index: usize) -> Result<Value, ParseError> {
        let nodes = self.nodes;
        let node = nodes.get(index);
        self.enter(node)?;
        match &node.content {
            Content::Scalar(scalar) => json(resolve(scalar)?),
            Content::Alias { name, target } => self
                .expanded((index, name, *target), |decoder, target| {
                    decoder.value(target)
                }),
            Content::List(items) => self.deeper(|decoder| {
                let items = items.iter().map(|item| decoder.value(*item));
                items.collect::<Result<Vec<_>, _>>().map(Value::Array)
            }),
            Content::Map(_) => {
                let mut fields = Fields::default();
                self.deeper(|decoder| decoder.fields(index, &mut fields))?;
                Ok(Value::Object(fields.map))
            }
        }
    }

    /// Adds the fields of a map node.
    // bounded: by MAX_DEPTH
    fn fields(&mut self, index: usize, out: &mut Fields) -> Result<(), ParseError> {
        let nodes = self.nodes;
        let Content::Map(fields) = &nodes.get(index).content else {
            return Ok(());
        };
        for &(key, value) in fields {
            if is_merge(nodes.get(key)) {
                self.merge(value, out)?;
                continue;
            }
            let key = self.key(key)?;
            let line = nodes.get(value).line;
            let value = self.value(value)?;
            self.insert(key, value, line, out)?;
        }
        Ok(())
    }

    fn insert(
        &mut self,
        key: Resolved,
        value: Value,
        line: usize,
        out: &mut Fields,
    ) -> Result<(), ParseError> {
        let (text, shown) = key_text(key, &value)?;
        let is_new = match &shown {
            // Not a number is not equal to itself.
            Some((_, shown)) if shown == "NaN" => true,
            Some((kind, shown)) => out.typed.insert((*kind, shown.clone())),
            None => out.texts.insert(text.clone()),
        };
        if !is_new && self.repeated.len() < MAX_REPEATED && self.repeated_bytes < MAX_REPEATED_BYTES
        {
            let shown = shown.map_or_else(|| format!("{text:?}"), |(_, shown)| shown);
            let repeated = format!("line {line}: key {shown} already set in map");
            self.repeated_bytes += repeated.len();
            self.repeated.push(repeated);
        }
        out.map.insert(text, value);
        Ok(())
    }

    /// Adds the fields of the value of a merge key; in a list, earlier maps take precedence.
    // bounded: by MAX_DEPTH
    fn merge(&mut self, index: usize, out: &mut Fields) -> Result<(), ParseError> {
        let nodes = self.nodes;
        let merged: Vec<usize> = match &nodes.get(index).content {
            Content::List(items) => items.iter().rev().copied().collect(),
            _ => vec![index],
        };
        for index in merged {
            let node = nodes.get(index);
            self.enter(node)?;
            match &node.content {
                Content::Map(_) => self.deeper(|decoder| decoder.fields(index, out))?,
                Content::Alias { name, target }
                    if matches!(nodes.get(*target).content, Content::Map(_)) =>
                {
                    self.expanded((index, name, *target), |decoder, target| {
                        decoder.enter(nodes.get(target))?;
                        decoder.fields(target, out)
                    })?;
                }
                Content::Scalar(_) | Content::List(_) | Content::Alias { .. } => {
                    let reason = "map merge requires map or sequence of maps as the value";
                    return Err(syntax(reason));
                }
            }
        }
        Ok(())
    }

    // bounded: by MAX_DEPTH
    fn key(&mut self, index: usize) -> Result<Resolved, ParseError> {
        let nodes = self.nodes;
        let node = nodes.get(index);
        self.enter(node)?;
        match &node.content {
            Content::Scalar(scalar) => resolve(scalar),
            Content::Alias { name, target } => self
                .expanded((index, name, *target), |decoder, target| {
                    decoder.key(target)
                }),
            Content::List(_) => Err(syntax("invalid map key: a list")),
            Content::Map(_) => Err(syntax("invalid map key: a map")),
        }
    }
}

fn is_merge(key: &Node) -> bool {
    matches!(
        &key.content,
        Content::Scalar(Scalar { text, plain, tag })
            if text == "<<" && (tag.as_deref() == Some("!!merge") || (*plain && tag.is_none()))
    )
}

/// A scalar as JSON. Integral floats become integers when the JSON is parsed.
fn json(scalar: Resolved) -> Result<Value, ParseError> {
    Ok(match scalar {
        Resolved::Null => Value::Null,
        Resolved::Bool(value) => value.into(),
        Resolved::Integer(value) => value.into(),
        Resolved::Unsigned(value) => value.into(),
        Resolved::Text(text) => text.into(),
        Resolved::Float(float) => match Number::from_f64(float) {
            Some(number) => Value::Number(number),
            None => {
                let name = match float {
                    f64::INFINITY => "+Inf",
                    f64::NEG_INFINITY => "-Inf",
                    _ => "NaN",
                };
                let reason = format!("json: unsupported value: {name}");
                return Err(ParseError::Syntax(reason));
            }
        },
    })
}

/// The text of a key, and its type and form in errors if it is not a text.
fn key_text(key: Resolved, value: &Value) -> Result<(String, Option<(char, String)>), ParseError> {
    let unsupported = |kind: &str, key: &str| {
        let value = kube_value(value);
        Err(ParseError::Syntax(format!(
            "unsupported map key of type: {kind}, key: {key}, value: {value}"
        )))
    };
    match key {
        Resolved::Text(text) => Ok((text, None)),
        Resolved::Bool(value) => Ok((value.to_string(), Some(('b', value.to_string())))),
        Resolved::Integer(value) => Ok((value.to_string(), Some(('i', value.to_string())))),
        Resolved::Float(value) => {
            let shown = if value.is_nan() {
                String::from("NaN")
            } else {
                (value + 0.0).to_string()
            };
            Ok((short_float(value), Some(('f', shown))))
        }
        Resolved::Null => unsupported("%!s(<nil>)", "<nil>"),
        Resolved::Unsigned(value) => unsupported("uint64", &format!("{value:#x}")),
    }
}

/// The value in an error about its key: a scalar as it is, the kind of a list or map.
fn kube_value(value: &Value) -> String {
    match value {
        Value::Null => String::from("<nil>"),
        Value::Array(_) => String::from("[]"),
        Value::Object(_) => String::from("map[]"),
        scalar => String::from_utf8_lossy(&crate::to_vec(scalar)).into_owned(),
    }
}

/// `strconv.FormatFloat(value, 'g', -1, 32)`, with YAML's words for infinity.
fn short_float(value: f64) -> String {
    let short = value as f32;
    if short.is_nan() {
        return String::from(".nan");
    }
    if short.is_infinite() {
        let sign = if short < 0.0 { "-" } else { "" };
        return format!("{sign}.inf");
    }
    let scientific = format!("{short:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) && short != 0.0 => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => short.to_string(),
    }
}
