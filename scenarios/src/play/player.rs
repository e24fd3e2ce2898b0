//! Plays a history on one engine.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use regex::Regex;
use serde_json::{Map, Value, json};

use super::history::{History, Verb, Write};
use crate::engine::Engine;

/// The namespace of all objects.
pub(super) const NAMESPACE: &str = "play";

/// The writer of one object.
struct Player<'a> {
    engine: &'a Engine,
    history: &'a History,
    name: &'a str,
    /// The newest object in a response, as it was received.
    last: Value,
    normal: Normal,
}

/// Replaces values that may differ between two correct servers.
struct Normal {
    variable: Vec<(Regex, &'static str)>,
    /// Uids in order of appearance.
    seen: Vec<String>,
}

/// The responses of an engine, comparable but for their resource versions.
///
/// # Errors
/// If the server does not respond.
pub(super) async fn play(engine: &Engine, history: &History, name: &str) -> Result<Vec<Value>> {
    let mut player = Player {
        engine,
        history,
        name,
        last: Value::Null,
        normal: Normal::new()?,
    };
    let mut responses = Vec::new();
    for write in history.steps() {
        let response = player.perform(&write).await;
        let context = || format!("{:?} on {}", write.verb, engine.name);
        responses.push(response.with_context(context)?);
    }
    Ok(responses)
}

// === impl Player ===

impl Player<'_> {
    async fn perform(&mut self, write: &Write) -> Result<Value> {
        let path = write.path(&self.history.kind, NAMESPACE, self.name);
        let body = match self.body(write) {
            Value::Null => Bytes::new(),
            body => serde_json::to_vec(&body)?.into(),
        };
        let content_type = write.verb.content_type().to_owned();
        let headers = [
            ("Content-Type".to_owned(), content_type),
            ("User-Agent".to_owned(), "player".to_owned()),
        ];
        let method = write.verb.method();
        let response = self.engine.client.send(method, &path, &headers, body);
        let response = response.await?;
        let status = response.status().as_u16();
        let warnings: Vec<String> = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let bytes = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::String(text));
        let dry_run = write.query.contains("dryRun");
        if status < 300 && body["kind"] == self.history.kind.name && !dry_run {
            self.last.clone_from(&body);
        }
        let title = format!("{method} {} {}", write.part, write.query);
        Ok(json!({
            "step": title,
            "status": status,
            "warnings": warnings,
            "body": self.normal.value("", body),
        }))
    }

    /// The body as it is sent.
    fn body(&self, write: &Write) -> Value {
        let version = &self.last["metadata"]["resourceVersion"];
        let mut body = match write.verb {
            Verb::Modify if write.part == "scale" => write.body.clone(),
            Verb::Modify => {
                let mut object = self.last.clone();
                merge(&mut object, &write.body);
                let group = super::kind::GROUP;
                let version = super::kind::VERSIONS[write.version];
                if object.is_object() {
                    object["apiVersion"] = json!(format!("{group}/{version}"));
                }
                return object;
            }
            _ => write.body.clone(),
        };
        let named = matches!(write.verb, Verb::Create | Verb::Replace | Verb::Modify);
        if body.is_object() && named {
            body["metadata"]["name"] = json!(self.name);
            body["metadata"]["namespace"] = json!(NAMESPACE);
            if write.verb == Verb::Replace && version.is_string() {
                body["metadata"]["resourceVersion"] = version.clone();
            }
        }
        body
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        patch.clone_into(target);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

// === impl Normal ===

impl Normal {
    fn new() -> Result<Self> {
        let variable = [
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
            (
                r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                "<uid>",
            ),
            (r#"resourceVersion\\*":\\*"\d+"#, "<version>"),
            // kube-apiserver quotes numbers of a patch as they were sent.
            (r"([:,\[]-?\d+)\.0\b", "$1"),
        ];
        let variable = variable
            .into_iter()
            .map(|(pattern, name)| Ok((Regex::new(pattern)?, name)))
            .collect::<Result<_>>()?;
        Ok(Self {
            variable,
            seen: Vec::new(),
        })
    }

    fn value(&mut self, key: &str, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(key, text)),
            Value::Array(items) => {
                let items = items.into_iter().map(|item| self.value("", item));
                let mut items: Vec<Value> = items.collect();
                // Sorted by times, which are whole seconds and differ; and Go reports the errors of
                // siblings in random order.
                if ["managedFields", "causes"].contains(&key) {
                    items.sort_by_key(Value::to_string);
                }
                Value::Array(items)
            }
            Value::Object(members) => members
                .into_iter()
                .map(|(key, value)| {
                    let value = self.value(&key, value);
                    (key, value)
                })
                .collect::<Map<_, _>>()
                .into(),
            other => other,
        }
    }

    fn text(&mut self, key: &str, text: String) -> String {
        if key == "resourceVersion" {
            return text;
        }
        if key == "uid" {
            let at = self.seen.iter().position(|seen| *seen == text);
            let at = at.unwrap_or_else(|| {
                self.seen.push(text);
                self.seen.len() - 1
            });
            return format!("<{key} {at}>");
        }
        let mut text = text;
        for (pattern, name) in &self.variable {
            text = pattern.replace_all(&text, *name).into_owned();
        }
        if key == "message" {
            text = sorted(&text);
        }
        text
    }
}

/// A message with its parts in order: Go reports the errors of siblings in random order.
fn sorted(message: &str) -> String {
    let mut lines: Vec<&str> = message.lines().collect();
    lines.sort_unstable();
    let message = lines.join("\n");
    let Some((head, list)) = message.split_once(" is invalid: [") else {
        return message;
    };
    let mut parts: Vec<&str> = list.trim_end_matches(']').split(", ").collect();
    parts.sort_unstable();
    format!("{head} is invalid: [{}]", parts.join(", "))
}
