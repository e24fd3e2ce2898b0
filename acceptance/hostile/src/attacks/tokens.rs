//! Malformed continue tokens, limits and resource versions of lists.

use super::{Attack, Expect, Shot};
use crate::client::Request;
use crate::{kinds, seed};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::requests(
        "tokens/forged",
        "continue tokens that are garbage, deep, long, or of no known version",
        forged,
    ),
    Attack::requests(
        "tokens/limits",
        "limits and resource versions of lists at and beyond their bounds",
        limits,
    ),
];

fn bulk(query: &str) -> Request {
    let path = kinds::collection(seed::BULK_NAMESPACE, "blobs");
    Request::get(format!("{path}?{query}"))
}

fn forged() -> Vec<Shot> {
    // The first is a token of kube-apiserver: base64 of {"v":"meta.k8s.io/v1","rv":1,"start":"a"}.
    [
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0".to_owned(),
        "eyJ2IjoieCIsInJ2IjoxLCJzdGFydCI6ImEifQ".to_owned(),
        "W1tbW1tbW1tb".repeat(5_000),
        "A".repeat(60_000),
        "%00".repeat(20_000),
        "////".repeat(10_000),
        "x".to_owned(),
    ]
    .into_iter()
    .map(|token| {
        let request = bulk(&format!("limit=10&continue={token}"));
        Shot::new("a forged token", request).expect(Expect::Handled)
    })
    .collect()
}

fn limits() -> Vec<Shot> {
    let all = 16 << 20;
    [
        "limit=-1",
        "limit=0",
        "limit=9223372036854775807",
        "limit=9223372036854775808",
        "limit=x",
        "limit=1&resourceVersion=1",
        "limit=1&resourceVersion=9223372036854775807",
        "resourceVersion=1&resourceVersionMatch=Exact",
        "resourceVersion=18446744073709551615&resourceVersionMatch=NotOlderThan&timeout=1s",
        "resourceVersionMatch=Exact",
        "timeout=x",
        "timeout=-1s",
        "timeout=99999999h",
        "timeout=1ns",
    ]
    .into_iter()
    .map(|query| {
        let shot = Shot::new("a parameter of a list", bulk(query));
        shot.copies(1).largest(all).expect(Expect::HandledOrTimeout)
    })
    .collect()
}
