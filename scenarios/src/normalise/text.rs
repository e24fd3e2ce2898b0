//! Normalises text.

use std::collections::HashMap;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use regex::{Captures, Regex};
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::revisions::{COLLECTION, Revisions, WRITTEN};

/// Longer strings are shown by their beginning, length and hash.
const LONG: usize = 4000;

/// Replaces random and time-dependent parts of texts.
pub(super) struct Texts {
    pub(super) revisions: Revisions,
    uids: HashMap<String, usize>,
    masks: Vec<Regex>,
    patterns: Patterns,
}

struct Patterns {
    uid: Regex,
    time: Regex,
    recorded: Regex,
    current: Regex,
    embedded: Regex,
    server: Regex,
    hash: Regex,
    age: Regex,
    short_age: Regex,
    quoted_age: Regex,
    diff_file: Regex,
}

impl Texts {
    pub(super) fn new(revisions: Revisions, masks: &[String]) -> Result<Self> {
        let masks = masks
            .iter()
            .map(|mask| Regex::new(mask))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            revisions,
            uids: HashMap::new(),
            masks,
            patterns: Patterns::new()?,
        })
    }

    /// A string of a response.
    pub(super) fn plain(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for mask in &self.masks {
            text = mask.replace_all(&text, "<masked>").into_owned();
        }
        let p = &self.patterns;
        let uids = &mut self.uids;
        let text = p.uid.replace_all(&text, |found: &Captures<'_>| {
            let next = uids.len() + 1;
            format!("<uid {}>", uids.entry(found[0].to_owned()).or_insert(next))
        });
        let text = p
            .time
            .replace_all(&text, |found: &Captures<'_>| moment(&found[0]));
        let revisions = &self.revisions;
        let text = COLLECTION.replace_all(&text, |found: &Captures<'_>| {
            let rank = found[2]
                .parse()
                .map(|version| revisions.collection(version));
            format!(
                "{}{}",
                &found[1],
                rank.unwrap_or_else(|_| found[2].to_owned())
            )
        });
        let written = |found: &Captures<'_>| {
            let rank = revisions
                .object(&found[2])
                .unwrap_or_else(|| found[2].to_owned());
            format!("{}{rank}", &found[1])
        };
        let text = WRITTEN.replace_all(&text, written);
        let text = p.recorded.replace_all(&text, written);
        let text = p.current.replace_all(&text, "$1<rv>");
        let text = p.embedded.replace_all(&text, "Invalid value: \"<object>\"");
        let text = p.server.replace_all(&text, "<server>");
        let text = p.hash.replace_all(&text, "hash=<hash>");
        shorten(revisions.object(&text).unwrap_or_else(|| text.into_owned()))
    }

    /// A cell of a table.
    pub(super) fn cell(&mut self, text: &str) -> String {
        if self.patterns.short_age.is_match(text) {
            "<age>".to_owned()
        } else {
            self.plain(text)
        }
    }

    /// A body that is not JSON, as lines.
    pub(super) fn body(&mut self, text: &str) -> Value {
        let text = self.plain(text);
        lines(&self.patterns.quoted_age.replace_all(&text, "\"<age>\""))
    }

    /// kubectl's output, as lines.
    pub(super) fn output(&mut self, text: &str) -> Value {
        let text = self.plain(text);
        let text = self.patterns.age.replace_all(&text, "$1<age>  ");
        let text = self.patterns.diff_file.replace_all(&text, "$1");
        let mut remaining: Vec<&str> = text
            .lines()
            // An aggregated server has no core Events API.
            .filter(|line| !(line.starts_with("Events:") && line.ends_with("<none>")))
            .map(str::trim_end)
            .collect();
        // The errors of a list are siblings, whose order in Go is random.
        for run in remaining.chunk_by_mut(|a, b| a.starts_with("* ") && b.starts_with("* ")) {
            run.sort_unstable();
        }
        lines(&remaining.join("\n"))
    }
}

impl Patterns {
    fn new() -> Result<Self> {
        let part = r"[0-9a-f]{4}";
        Ok(Self {
            uid: Regex::new(&format!(
                r"\b[0-9a-f]{{8}}-{part}-{part}-{part}-[0-9a-f]{{12}}\b"
            ))?,
            time: Regex::new(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\b)")?,
            recorded: Regex::new(r"(ResourceVersion in record \()(\d+)")?,
            current: Regex::new(
                r"(resource version: \d+, current: |too old resource version: \d+ \()\d+",
            )?,
            // A whole patched object, quoted. Its keys are compared where the object is the
            // response.
            embedded: Regex::new(r#"Invalid value: "\{(?:[^"\\]|\\.)*\}""#)?,
            server: Regex::new(r"127\.0\.0\.1:\d+")?,
            hash: Regex::new(r"hash=[0-9A-F]{16,}")?,
            // kubectl pads columns with three spaces.
            age: Regex::new(r"(?m)(   )(?:\d{1,3}s|\dm\d*s?)(?: +|$)")?,
            short_age: Regex::new(r"^(\d{1,3}s|\dm\d*s?)$")?,
            quoted_age: Regex::new(r#""(\d{1,3}s|\dm\d*s?)""#)?,
            diff_file: Regex::new(r"/\S*/(LIVE|MERGED)-\d+")?,
        })
    }
}

/// A time of today was set by the server; any other was sent by the scenario.
fn moment(text: &str) -> String {
    let day = SignedDuration::from_hours(24);
    let own = format!("{}Z", text.trim_end_matches('Z').replace(' ', "T"))
        .parse::<Timestamp>()
        .is_ok_and(|time| Timestamp::now().duration_since(time).abs() < day);
    if own {
        "<time>".to_owned()
    } else {
        text.to_owned()
    }
}

fn lines(text: &str) -> Value {
    text.lines().collect()
}

fn shorten(text: String) -> String {
    if text.len() <= LONG {
        return text;
    }
    let hash = digest(&SHA256, text.as_bytes())
        .as_ref()
        .iter()
        .take(4)
        .fold(0u32, |sum, b| sum << 8 | u32::from(*b));
    let start: String = text.chars().take(200).collect();
    format!("{start}… <{} bytes, hash {hash:08x}>", text.len())
}
