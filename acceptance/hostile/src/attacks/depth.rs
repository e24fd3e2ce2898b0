//! Deeply nested values: as a body, and as the result of a patch. One depth limit applies to both,
//! so that every stored object can be read.

use http::Method;

use super::requests::{JSON, JSON_PATCH, MERGE, YAML, dry, dry_small, object, object_path};
use super::{Attack, Expect, Shot};
use crate::client::Request;
use crate::{kinds, seed};

/// Levels that one operation of a JSON patch adds; below the depth limit of a body.
const ROUND: usize = 480;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::requests(
        "depth/patch-result",
        "JSON patch of 69 kB that builds 16,320 levels by add and move, dry run",
        patch_result,
    ),
    Attack::requests(
        "depth/stored",
        "JSON patch of 4 kB that stores 960 levels; then every way to read the object",
        stored,
    ),
    Attack::requests(
        "depth/bodies",
        "bodies of up to 3 MB of brackets, as JSON and YAML, by every verb and subresource",
        bodies,
    ),
    Attack::requests(
        "depth/elsewhere",
        "depth in other inputs: merge patches, DeleteOptions, scale, test and copy of JSON patches",
        other_inputs,
    ),
];

/// Repeats `rounds` times: add levels, then move all earlier ones under the innermost.
fn tower(rounds: usize) -> String {
    let levels = arrays(ROUND);
    let innermost = format!("{}/-", "/0".repeat(ROUND - 1));
    let mut operations = format!(r#"[{{"op":"add","path":"/spec/n0","value":{levels}}}"#);
    for round in 1..rounds {
        let before = round - 1;
        operations += &format!(
            r#",{{"op":"add","path":"/spec/n{round}","value":{levels}}},{{"op":"move","from":"/spec/n{before}","path":"/spec/n{round}{innermost}"}}"#
        );
    }
    operations + "]"
}

fn arrays(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

fn objects(levels: usize) -> String {
    r#"{"a":"#.repeat(levels) + "0" + &"}".repeat(levels)
}

fn patch_result() -> Vec<Shot> {
    let patch = |path: String, body: String| Request::send(Method::PATCH, path, JSON_PATCH, body);
    let tall = tower(34);
    vec![
        Shot::new("16,320 levels", patch(dry_small("blobs", ""), tall.clone())),
        // The schema of this kind does not contain the field.
        Shot::new(
            "16,320 levels of an unknown field",
            patch(dry_small("forms", ""), tall.clone()),
        ),
        Shot::new(
            "16,320 levels of status",
            patch(
                dry_small("blobs", "/status"),
                tall.replace("/spec/", "/status/"),
            ),
        ),
        Shot::new(
            "16,320 levels of scale",
            patch(dry_small("blobs", "/scale"), tall),
        ),
    ]
}

fn stored() -> Vec<Shot> {
    let path = object_path("blobs");
    let collection = kinds::collection(seed::NAMESPACE, "blobs");
    let undo = r#"[{"op":"remove","path":"/spec/n1"}]"#;
    let patch =
        |body: &str| Request::send(Method::PATCH, path.clone(), JSON_PATCH, body.to_owned());
    let store = Shot::new("960 levels", patch(&tower(2))).expect(Expect::Success);
    let read = |what, path: &str| Shot::new(what, Request::get(path)).expect(Expect::Success);
    let lists = 8 << 20;
    vec![
        store.copies(1),
        read("the object of 960 levels", &path),
        read("a list with the object", &collection).largest(lists),
        read(
            "a watch with the object",
            &format!("{collection}?watch=1&resourceVersion=0&timeoutSeconds=1"),
        )
        .largest(lists),
        Shot::new(
            "a patch of the object",
            Request::send(Method::PATCH, path.clone(), MERGE, r#"{"spec":{"a":1}}"#),
        )
        .expect(Expect::Success),
        Shot::new("removing the levels", patch(undo))
            .expect(Expect::Success)
            .copies(1),
    ]
}

fn bodies() -> Vec<Shot> {
    let mut shots = Vec::new();
    for (what, levels) in [
        ("3 MB of open brackets", "[".repeat(3_000_000)),
        ("1.5 million arrays in each other", arrays(1_500_000)),
        ("400,000 objects in each other", objects(400_000)),
        // The limit of kube-apiserver is 10,000.
        ("10,010 arrays in each other", arrays(10_010)),
    ] {
        let body = object("blobs", "new", "", &format!(r#"{{"n":{levels}}}"#));
        for (method, path, kind) in [
            (Method::POST, dry("blobs"), JSON),
            (Method::POST, dry("forms"), JSON),
            (Method::PUT, dry_small("blobs", "/status"), JSON),
            (Method::PATCH, dry_small("blobs", ""), MERGE),
            (Method::POST, dry("blobs"), YAML),
        ] {
            let request = Request::send(method, path, kind, body.clone());
            shots.push(Shot::new(what, request).expect(Expect::Rejected));
        }
    }
    shots
}

fn other_inputs() -> Vec<Shot> {
    let deep = objects(100_000);
    let patch = |what, path: String, kind, body: String| {
        Shot::new(what, Request::send(Method::PATCH, path, kind, body))
    };
    let options = |what, path: String| {
        let body =
            format!(r#"{{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{deep}}}"#);
        Shot::new(what, Request::send(Method::DELETE, path, JSON, body)).expect(Expect::Rejected)
    };
    let level = objects(ROUND);
    let test = format!(
        r#"[{{"op":"add","path":"/spec/n","value":{level}}},{{"op":"test","path":"/spec/n","value":{level}}}]"#
    );
    // Each copy puts the whole value below its own innermost level and so doubles the depth.
    let (mut copies, mut path) = (
        format!(r#"[{{"op":"add","path":"/spec/n","value":{level}}}"#),
        "/spec/n".to_owned(),
    );
    for _ in 0..8 {
        let below = format!("{path}{}", "/a".repeat(ROUND - 1));
        copies += &format!(r#",{{"op":"copy","from":"/spec/n","path":"{below}"}}"#);
        path = below;
    }
    copies.push(']');
    vec![
        patch("a merge patch of 100,000 levels", dry_small("blobs", ""), MERGE, format!(r#"{{"spec":{deep}}}"#))
            .expect(Expect::Rejected),
        patch("a merge patch of scale", dry_small("blobs", "/scale"), MERGE, format!(r#"{{"spec":{deep}}}"#))
            .expect(Expect::Rejected),
        patch("a JSON patch with a deep value", dry_small("blobs", ""), JSON_PATCH,
            format!(r#"[{{"op":"add","path":"/spec/n","value":{deep}}}]"#)).expect(Expect::Rejected),
        patch("a deep JSON patch", dry_small("blobs", ""), JSON_PATCH, arrays(200_000)).expect(Expect::Rejected),
        patch("a test of 480 levels", dry_small("blobs", ""), JSON_PATCH, test),
        patch("copies below themselves", dry_small("blobs", ""), JSON_PATCH, copies),
        patch("a JSON pointer of 100,000 segments", dry_small("blobs", ""), JSON_PATCH,
            format!(r#"[{{"op":"add","path":"/spec{}","value":0}}]"#, "/a".repeat(100_000)))
            .expect(Expect::Rejected),
        options("deep DeleteOptions", dry_small("blobs", "")),
        options("deep DeleteOptions of a collection", dry("forms")),
        Shot::new("a deep scale", Request::send(Method::PUT, dry_small("blobs", "/scale"), JSON,
            format!(r#"{{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{{"name":"small"}},"spec":{deep}}}"#)))
            .expect(Expect::Rejected),
        Shot::new("deep annotations", Request::send(Method::POST, dry("blobs"), JSON,
            object("blobs", "new", &format!(r#","annotations":{deep}"#), "{}"))).expect(Expect::Rejected),
        Shot::new("deep managedFields", Request::send(Method::POST, dry("blobs"), JSON,
            object("blobs", "new", &format!(r#","managedFields":[{{"manager":"m","operation":"Update","fieldsV1":{deep}}}]"#), "{}")))
            .expect(Expect::Rejected),
    ]
}
