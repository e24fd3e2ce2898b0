//! Compares the audit events of kube-apiserver and ark-apiserver for the same requests.
//!
//! Each HTTP step of a scenario has an `Audit-ID` that is the same on both servers. Requests of
//! kubectl have random ones and are not compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::diff;

/// Prefix of the IDs of steps.
pub const ID_PREFIX: &str = "scenario/";

const POLICY: &str =
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: RequestResponse\n";

/// Annotations of features that ark-apiserver has not.
const OMITTED: [&str; 1] = ["authorization.k8s.io/reason"];

/// The policy and the log of one server.
#[derive(Clone, Debug)]
pub struct Files {
    policy: PathBuf,
    log: PathBuf,
}

impl Files {
    /// Files of a new server in `folder`.
    ///
    /// # Errors
    /// If the policy cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let files = Self {
            policy: folder.join("policy.yaml"),
            log: folder.join("audit.log"),
        };
        std::fs::write(&files.policy, POLICY)?;
        Ok(files)
    }

    /// The flags of both servers.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        vec![
            format!("--audit-policy-file={}", self.policy.display()),
            format!("--audit-log-path={}", self.log.display()),
        ]
    }

    /// The events of each step in a comparable form, in order of their IDs.
    ///
    /// # Errors
    /// If a line is not JSON.
    pub fn events(&self) -> Result<Vec<Value>> {
        let text =
            std::fs::read_to_string(&self.log).with_context(|| self.log.display().to_string())?;
        let masks = Masks::new()?;
        let mut requests: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for line in text.lines() {
            // As deep as the objects of the scenarios.
            let event = kube_json::parse(line.as_bytes())?.value;
            let id = event["auditID"].as_str().unwrap_or_default();
            if id.starts_with(ID_PREFIX) {
                requests.entry(id.to_owned()).or_default().push(event);
            }
        }
        Ok(requests
            .into_iter()
            .map(|(id, events)| request(&id, &events, &masks))
            .collect())
    }
}

/// The differences of two lists of [`Files::events`], and the number of requests in either. A request
/// that has no event in one of them is a difference.
#[must_use]
pub fn compare(first: &[Value], second: &[Value]) -> (usize, Option<String>) {
    let index = |events: &[Value]| -> BTreeMap<String, Value> {
        let named = events.iter();
        named
            .map(|event| (event["step"].to_string(), event.clone()))
            .collect()
    };
    let (first, second) = (index(first), index(second));
    let ids: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let of = |all: &BTreeMap<String, Value>| -> Vec<Value> {
        let events = ids.iter().map(|id| {
            let event = all.get(*id).cloned();
            event.unwrap_or_else(|| json!({"step": id, "stages": [], "event": null}))
        });
        events.collect()
    };
    (ids.len(), diff::transcripts(&of(&first), &of(&second)))
}

/// The stages of a request, and its last event.
fn request(id: &str, events: &[Value], masks: &Masks) -> Value {
    let stages: Vec<&Value> = events.iter().map(|event| &event["stage"]).collect();
    let mut last = events.last().cloned().unwrap_or_default();
    if let Some(event) = last.as_object_mut() {
        for key in [
            "auditID",
            "requestReceivedTimestamp",
            "stageTimestamp",
            "sourceIPs",
            "user",
        ] {
            event.remove(key);
        }
        if let Some(annotations) = event.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| {
                !OMITTED.contains(&key.as_str()) && !key.starts_with("apiserver.latency.k8s.io/")
            });
        }
    }
    json!({"step": id, "stages": stages, "event": masks.value(last)})
}

/// Values that differ between two correct servers.
struct Masks(Vec<(Regex, &'static str)>);

impl Masks {
    fn new() -> Result<Self> {
        let patterns = [
            ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uid>"),
            (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "<time>"),
            (r"(resourceVersion(=|: ?))[0-9]+", "$1<rv>"),
            (r"(continue=)[^&]+", "$1<token>"),
            (r"^[0-9]+(s|m|ms|m[0-9]+s)$", "<age>"),
            (r"(in record )\([0-9]+\)", "$1(<rv>)"),
            // Generated names end with five characters of this alphabet.
            (
                r"(-|/|x{20,}?)[bcdfghjklmnpqrstvwxz2456789]{5}\b",
                "$1<generated>",
            ),
            // The response; `scenarios run` compares its text.
            (r#"Invalid value: "\{.*\}":"#, "Invalid value: <object>:"),
        ];
        let compiled = patterns.map(|(pattern, mask)| Ok((Regex::new(pattern)?, mask)));
        Ok(Self(compiled.into_iter().collect::<Result<_>>()?))
    }

    fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => {
                let map: Map<String, Value> = map
                    .into_iter()
                    .map(|(key, value)| match key.as_str() {
                        "resourceVersion" | "continue" if value != "" && value != "0" => {
                            (key, json!("<masked>"))
                        }
                        _ => (key, self.value(value)),
                    })
                    .collect();
                Value::Object(map)
            }
            other => other,
        }
    }

    fn text(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, (pattern, mask)| {
                pattern.replace_all(&text, *mask).into_owned()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_equal_up_to_times_ids_and_versions() {
        let folder = tempfile::tempdir().unwrap();
        let events = |name: &str, version: u32, code: u16| {
            let files = Files::create(&folder.path().join(name)).unwrap();
            let event = json!({
                "auditID": "scenario/a/1", "stage": "ResponseComplete", "user": {"username": name},
                "stageTimestamp": "2026-11-30T10:00:00.000000Z",
                "responseStatus": {"code": code},
                "responseObject": {"metadata": {"resourceVersion": version.to_string()}},
            });
            let other = json!({"auditID": "x"});
            std::fs::write(&files.log, format!("{event}\n{other}\n")).unwrap();
            files.events().unwrap()
        };
        let (first, second) = (events("a", 1, 200), events("b", 2, 200));
        assert_eq!(compare(&first, &second), (1, None));
        let (count, difference) = compare(&first, &events("c", 1, 201));
        assert_eq!(count, 1);
        assert!(difference.unwrap().contains("\"code\": 201"));
        let (count, difference) = compare(&first, &[]);
        assert_eq!(count, 1);
        assert!(difference.is_some(), "a missing event is a difference");
    }
}
