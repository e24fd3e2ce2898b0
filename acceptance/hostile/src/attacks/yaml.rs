//! YAML that expands: aliases, merge keys, long scalars, and deep nesting.

use std::fmt::Write as _;

use http::Method;

use super::requests::{YAML, dry};
use super::{Attack, Expect, Shot};
use crate::client::Request;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::requests(
        "yaml/aliases",
        "anchors and aliases that expand to billions of items, and merge keys",
        aliases,
    ),
    Attack::requests(
        "yaml/merges",
        "merge keys inside of each other, with and without aliases",
        merges,
    ),
    Attack::requests(
        "yaml/depth",
        "deep flow collections, block collections and indentation",
        depth,
    ),
    Attack::requests(
        "yaml/keys",
        "120,000 keys, distinct and repeated, under Strict",
        keys,
    ),
    Attack::requests(
        "yaml/size",
        "megabytes of scalars, keys, comments, documents, tags and directives",
        size,
    ),
];

const HEAD: &str = "apiVersion: hostile.example.com/v1\nkind: Blob\nmetadata: {name: new}\n";

fn post(what: &'static str, rest: &str) -> Shot {
    let body = format!("{HEAD}{rest}");
    Shot::new(what, Request::send(Method::POST, dry("blobs"), YAML, body))
}

fn aliases() -> Vec<Shot> {
    let mut laughs = "spec:\n  a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n".to_owned();
    let mut merges = "spec:\n  a0: &a0 {a: 1}\n".to_owned();
    for n in 1..12 {
        let items = vec![format!("*a{}", n - 1); 9].join(",");
        let _ = writeln!(laughs, "  a{n}: &a{n} [{items}]");
        let _ = writeln!(merges, "  a{n}: &a{n} {{<<: [{items}], b{n}: 1}}");
    }
    let many = vec!["*a"; 200_000].join(",");
    let anchor = "x".repeat(10_000);
    vec![
        post("a billion laughs", &laughs).expect(Expect::Rejected),
        post("a billion laughs by merge keys", &merges),
        post(
            "200,000 aliases of 10 kB",
            &format!("spec:\n  a: &a {anchor}\n  b: [{many}]\n"),
        )
        .expect(Expect::Rejected),
        post("an alias of itself", "spec: &a\n  b: *a\n").expect(Expect::Rejected),
        post("an alias of nothing", "spec: *nothing\n").expect(Expect::Rejected),
    ]
}

fn merges() -> Vec<Shot> {
    let nested = |levels: usize, inner: &str| {
        format!(
            "spec: {}{{{inner}}}{}\n",
            "{<<: ".repeat(levels),
            "}".repeat(levels)
        )
    };
    let keys: String = (0..20_000).map(|n| format!("k{n}: 1, ")).collect();
    let chain: String = (1..300)
        .map(|n| format!("  a{n}: &a{n} {{<<: *a{}, b{n}: 1}}\n", n - 1))
        .collect();
    vec![
        // Served, as by kube-apiserver, or rejected: the cost is bounded either way.
        post("900 merge keys", &nested(900, "a: 1")),
        post("100 merge keys around 20,000 values", &nested(100, &keys)),
        post(
            "400 lists of merge keys",
            &format!(
                "spec: {}{{a: 1}}{}\n",
                "{<<: [".repeat(400),
                "]}".repeat(400)
            ),
        ),
        post(
            "300 anchors that merge each other",
            &format!("spec:\n  a0: &a0 {{a: 1}}\n{chain}"),
        ),
        post("ten merge keys", &nested(10, "a: 1")).expect(Expect::Success),
    ]
}

fn keys() -> Vec<Shot> {
    let mapping = |distinct: usize| {
        let keys: String = (0..120_000)
            .map(|n| format!("  k{:06}: 1\n", n * 7_919 % distinct))
            .collect();
        format!("spec:\n{keys}")
    };
    let shots = [120_000, 119_999, 60_000].into_iter().map(|distinct| {
        let body = format!("{HEAD}{}", mapping(distinct));
        let path = format!("{}&fieldValidation=Strict", dry("blobs"));
        Shot::new("keys", Request::send(Method::POST, path, YAML, body)).expect(Expect::Rejected)
    });
    shots.collect()
}

fn depth() -> Vec<Shot> {
    let mut indented = "spec:\n".to_owned();
    for n in 1..2_200 {
        let _ = writeln!(indented, "{}a:", " ".repeat(n));
    }
    let rejected = |what, rest: String| post(what, &rest).expect(Expect::Rejected);
    vec![
        rejected(
            "2.9 million flow sequences",
            format!("spec: {}\n", "[".repeat(2_900_000)),
        ),
        rejected(
            "500,000 flow mappings",
            format!("spec: {}\n", "{a: ".repeat(500_000)),
        ),
        rejected(
            "1.4 million sequences in a line",
            format!("spec:\n{}\n", "- ".repeat(1_400_000)),
        ),
        rejected(
            "1.4 million explicit keys",
            format!("spec:\n{}\n", "? ".repeat(1_400_000)),
        ),
        post("2,200 levels of indentation", &indented),
    ]
}

fn size() -> Vec<Shot> {
    let keys: String = (0..150_000).map(|n| format!("  k{n:06}: 1\n")).collect();
    let same: String = (0..300_000).map(|_| "  k: 1\n").collect();
    vec![
        post("150,000 keys", &format!("spec:\n{keys}")),
        post("300,000 equal keys", &format!("spec:\n{same}")),
        post("2.9 MB of comments", &"#\n".repeat(1_450_000)),
        post("400,000 documents", &"---\n{}\n".repeat(400_000)),
        post(
            "2.9 MB of tags",
            &format!("spec:\n  a: {}x\n", "!!str ".repeat(480_000)),
        ),
        post("directives", &"%YAML 1.2\n---\n".repeat(200_000)),
        post(
            "2.9 MB of blanks",
            &format!("spec:\n  a: >\n{}\n", "   \n".repeat(700_000)),
        ),
        post(
            "2.9 MB of tabs",
            &format!("spec:{}1\n", "\t".repeat(2_900_000)),
        ),
        post(
            "integers in base 60 and 8",
            &format!(
                "spec: {{a: 0o{}, b: 1{}}}\n",
                "7".repeat(1_000_000),
                ":59".repeat(500_000)
            ),
        ),
        post("escapes of bytes", "spec: {a: \"\\xff\\x00\"}\n"),
    ]
}
