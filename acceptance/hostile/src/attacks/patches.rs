//! Malformed and unusual patches of objects and their subresources.

use http::Method;

use super::requests::{JSON_PATCH, MERGE, dry_small};
use super::{Attack, Expect, Shot};
use crate::client::Request;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::requests(
        "patches/malformed",
        "malformed patches of every type, against object, status and scale",
        malformed,
    ),
    Attack::requests(
        "patches/self-reference",
        "JSON patches that move or copy a value into itself, out of bounds, or to the root",
        self_reference,
    ),
    Attack::requests(
        "patches/doubling",
        "1.6 kB of copies, each of which doubles a list, on 30 connections",
        doubling,
    ),
];

fn doubling() -> Vec<Shot> {
    let begin = r#"{"op":"add","path":"/spec/doubled","value":[{"":0},{"":0}]}"#;
    let copy = r#",{"op":"copy","from":"/spec/doubled","path":"/spec/doubled/-"}"#;
    let body = format!("[{begin}{}]", copy.repeat(30));
    let request = Request::send(Method::PATCH, dry_small("blobs", ""), JSON_PATCH, body);
    let shot = Shot::new("30 copies that double", request);
    vec![shot.expect(Expect::Rejected).copies(30)]
}

fn malformed() -> Vec<Shot> {
    let mut shots = Vec::new();
    for subresource in ["", "/status", "/scale"] {
        for (what, kind, body) in [
            ("a merge patch that is a list", MERGE, "[]"),
            ("a merge patch that is null", MERGE, "null"),
            ("a merge patch that ends early", MERGE, r#"{"spec":{"#),
            ("a JSON patch that is an object", JSON_PATCH, "{}"),
            ("a JSON patch of numbers", JSON_PATCH, "[1,2,3]"),
            (
                "a JSON patch without op",
                JSON_PATCH,
                r#"[{"path":"/spec"}]"#,
            ),
            ("no JSON at all", JSON_PATCH, "\u{0}\u{0}\u{0}"),
            (
                "a strategic merge patch",
                "application/strategic-merge-patch+json",
                "{}",
            ),
            ("a patch of no known type", "text/plain", "{}"),
        ] {
            let path = dry_small("blobs", subresource);
            let request = Request::send(Method::PATCH, path, kind, body);
            shots.push(Shot::new(what, request).expect(Expect::Rejected).copies(1));
        }
    }
    shots
}

fn self_reference() -> Vec<Shot> {
    [
        (
            "a move into itself",
            r#"[{"op":"move","from":"/spec","path":"/spec/a/b"}]"#,
        ),
        (
            "a copy of the root into itself",
            r#"[{"op":"copy","from":"","path":"/spec/a"}]"#,
        ),
        (
            "the root replaced",
            r#"[{"op":"replace","path":"","value":[]}]"#,
        ),
        ("the root removed", r#"[{"op":"remove","path":""}]"#),
        (
            "an index out of bounds",
            r#"[{"op":"add","path":"/spec/items/18446744073709551616","value":1}]"#,
        ),
        (
            "an index below zero",
            r#"[{"op":"remove","path":"/spec/items/-1"}]"#,
        ),
        (
            "the kind replaced",
            r#"[{"op":"replace","path":"/kind","value":"Form"}]"#,
        ),
        (
            "metadata removed",
            r#"[{"op":"remove","path":"/metadata"}]"#,
        ),
        (
            "metadata made a list",
            r#"[{"op":"replace","path":"/metadata","value":[[]]}]"#,
        ),
    ]
    .into_iter()
    .map(|(what, body)| {
        let request = Request::send(Method::PATCH, dry_small("blobs", ""), JSON_PATCH, body);
        Shot::new(what, request).copies(1)
    })
    .collect()
}
