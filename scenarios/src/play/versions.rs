//! Resource versions of two transcripts, by order of appearance.

use std::collections::HashMap;

use serde_json::Value;

use super::history::{Verb, Write};

/// Replaces the resource versions of both transcripts by their numbers.
///
/// kube-apiserver stores what an apply leaves and no response shows: unknown fields, and metadata
/// that was emptied. The next write that changes nothing stores the object without them, at a new
/// version. There the versions of the first transcript count as one.
pub(super) fn number(steps: &[Write], theirs: &mut [Value], ours: &mut [Value]) {
    let same = rewritten(steps, theirs, ours);
    for (transcript, same) in [(theirs, &same), (ours, &HashMap::new())] {
        let mut seen = Vec::new();
        for entry in transcript {
            replace(&mut entry["body"], same, &mut seen);
        }
    }
}

/// Versions of the first transcript that a write without a change made after an apply, and the
/// versions before.
fn rewritten(steps: &[Write], theirs: &[Value], ours: &[Value]) -> HashMap<String, String> {
    let mut same: HashMap<String, String> = HashMap::new();
    let mut before: Option<(String, String)> = None;
    let mut applied = false;
    for (write, (a, b)) in steps.iter().zip(theirs.iter().zip(ours)) {
        let (Some(a), Some(b)) = (written(write, a), written(write, b)) else {
            continue;
        };
        if let Some((old_a, old_b)) = before.take()
            && applied
            && a != old_a
            && b == old_b
        {
            let first = same.get(&old_a).cloned().unwrap_or(old_a);
            same.insert(a.clone(), first);
        }
        applied = write.verb == Verb::Apply;
        before = Some((a, b));
    }
    same
}

/// The version of the object after a successful write.
fn written(write: &Write, entry: &Value) -> Option<String> {
    let is_success = entry["status"].as_u64().is_some_and(|it| it < 300);
    let is_write = write.verb != Verb::Read && !write.query.contains("dryRun");
    let version = entry["body"]["metadata"]["resourceVersion"].as_str();
    version
        .filter(|_| is_success && is_write)
        .map(str::to_owned)
}

fn replace(value: &mut Value, same: &HashMap<String, String>, seen: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, same, seen)),
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if key == "resourceVersion" => {
                        let version = same.get(text).unwrap_or(text);
                        let at = seen.iter().position(|it| it == version);
                        let at = at.unwrap_or_else(|| {
                            seen.push(version.clone());
                            seen.len() - 1
                        });
                        *text = format!("<version {at}>");
                    }
                    value => replace(value, same, seen),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(verb: Verb) -> Write {
        Write {
            verb,
            ..Write::read(0, "")
        }
    }

    fn transcript(versions: &[&str]) -> Vec<Value> {
        let entry = |version: &&str| json!({"status": 200, "body": {"metadata": {"resourceVersion": version}}});
        versions.iter().map(entry).collect()
    }

    fn are_equal(verbs: &[Verb], theirs: &[&str], ours: &[&str]) -> bool {
        let steps: Vec<Write> = verbs.iter().copied().map(step).collect();
        let (mut theirs, mut ours) = (transcript(theirs), transcript(ours));
        number(&steps, &mut theirs, &mut ours);
        theirs == ours
    }

    #[test]
    fn versions_are_compared_by_order_of_appearance() {
        let verbs = [Verb::Create, Verb::Merge, Verb::Read];
        assert!(are_equal(&verbs, &["1", "5", "5"], &["7", "8", "8"]));
        assert!(!are_equal(&verbs, &["1", "5", "5"], &["7", "7", "7"]));
        assert!(!are_equal(&verbs, &["1", "1", "1"], &["7", "8", "8"]));
    }

    #[test]
    fn first_write_after_an_apply_may_store_the_object_again() {
        let verbs = [Verb::Apply, Verb::Merge, Verb::Merge, Verb::Read];
        let ours = ["7", "7", "8", "8"];
        assert!(are_equal(&verbs, &["1", "2", "3", "3"], &ours));
        assert!(!are_equal(&verbs, &["1", "1", "1", "1"], &ours));
        let twice = ["7", "7", "7", "7"];
        assert!(!are_equal(&verbs, &["1", "2", "3", "3"], &twice));
    }
}
