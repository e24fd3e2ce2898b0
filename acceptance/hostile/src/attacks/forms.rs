//! Media types and encodings of requests and responses: tables, metadata, protobuf, compression.

use http::Method;

use super::requests::{JSON, dry, dry_small, object};
use super::{Attack, Expect, Shot};
use crate::client::Request;
use crate::{kinds, seed};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::requests(
        "forms/lists",
        "ten concurrent lists of 10,000 objects in every media type",
        lists,
    ),
    Attack::requests(
        "forms/accept",
        "Accept headers of 10,000 media types",
        accept,
    ),
    Attack::requests(
        "forms/pretty",
        "deep and wide objects, stored and read as indented JSON and YAML, on 10 connections",
        pretty,
    ),
    Attack::requests(
        "forms/protobuf",
        "protobuf bodies with false lengths, and deep ones",
        protobuf,
    ),
    Attack::requests(
        "forms/encodings",
        "compressed bodies, and unknown types",
        encodings,
    ),
];

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Prefix of every Kubernetes protobuf body.
const MAGIC: &[u8] = b"k8s\0";

fn lists() -> Vec<Shot> {
    let path = kinds::collection(seed::BULK_NAMESPACE, "blobs");
    [
        ("", JSON),
        ("", "application/json;as=Table;g=meta.k8s.io;v=v1"),
        (
            "includeObject=Object",
            "application/json;as=Table;g=meta.k8s.io;v=v1",
        ),
        (
            "",
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        ),
        (
            "",
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        ),
        ("", "application/yaml"),
    ]
    .into_iter()
    .map(|(query, accept)| {
        let request = Request::get(format!("{path}?{query}"));
        let request = request
            .header("accept", accept)
            .header("accept-encoding", "gzip");
        Shot::new("a list of 10,000 objects", request)
            .copies(10)
            .largest(40 << 20)
    })
    .collect()
}

fn accept() -> Vec<Shot> {
    let path = format!(
        "{}?limit=1",
        kinds::collection(seed::BULK_NAMESPACE, "blobs")
    );
    let get =
        |what, accept: String| Shot::new(what, Request::get(path.clone()).header("accept", accept));
    vec![
        get(
            "10,000 media types",
            "application/x,".repeat(10_000) + "application/json",
        ),
        get(
            "10,000 parameters",
            "application/json".to_owned() + &";a=b".repeat(10_000),
        ),
        get(
            "10,000 weights",
            "application/json;q=0.1,".repeat(10_000) + "*/*",
        ),
        get("wildcards", "*/*,".repeat(30_000)),
        get("an unknown media type", "x/y".to_owned()).expect(Expect::Rejected),
    ]
}

fn pretty() -> Vec<Shot> {
    let store = |name: &str, value: &str| {
        let path = kinds::collection(seed::NAMESPACE, "blobs");
        let body = object("blobs", name, "", &format!(r#"{{"n":{value}}}"#));
        // The first round creates the object; later rounds conflict.
        Shot::new(
            "an object to be read",
            Request::send(Method::POST, path, JSON, body),
        )
        .copies(1)
    };
    let arrays = |levels: usize, inner: &str| "[".repeat(levels) + inner + &"]".repeat(levels);
    let read = |name: &str, query: &str, accept: &'static str| {
        let path = kinds::collection(seed::NAMESPACE, "blobs");
        let request = Request::get(format!("{path}/{name}{query}")).header("accept", accept);
        Shot::new("an object as indented text", request)
            .copies(10)
            .largest(40 << 20)
    };
    let mut shots = vec![
        store("deep", &arrays(9_900, "")),
        store("wide", &arrays(12, &vec!["0"; 500_000].join(","))),
    ];
    for name in ["deep", "wide"] {
        shots.push(
            read(name, "?pretty=true", JSON)
                .copies(1)
                .expect(Expect::Success),
        );
        shots.push(read(name, "?pretty=true", JSON));
        shots.push(read(name, "", "application/yaml"));
    }
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    shots.push(read("wide", "?includeObject=Object&pretty=1", table));
    shots
}

/// A field of wire type 2 with the declared `length`, which need not match `content`.
fn field(number: u8, length: usize, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut rest = length;
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes.extend_from_slice(content);
    bytes
}

fn protobuf() -> Vec<Shot> {
    let unknown = |raw: &[u8]| {
        let kind = field(
            1,
            19,
            &[&field(1, 2, b"v1")[..], &field(2, 13, b"DeleteOptions")].concat(),
        );
        [MAGIC, &kind, &field(2, raw.len(), raw)].concat()
    };
    let mut deep = Vec::new();
    // Each level contains the one before it; lengths grow to three bytes.
    for _ in 0..20_000 {
        deep = field(2, deep.len(), &deep.clone());
        if deep.len() > 400_000 {
            break;
        }
    }
    let mut shots = Vec::new();
    for (what, body) in [
        (
            "a length of 4 GB",
            unknown(&field(2, u32::MAX as usize, b"x")),
        ),
        (
            "a length of 2^63",
            unknown(&field(2, usize::MAX >> 1, b"x")),
        ),
        ("deep preconditions", unknown(&deep)),
        ("3 MB of zeros", unknown(&vec![0; 2_900_000])),
        (
            "3 MB of empty fields",
            unknown(&[0x2a_u8, 0].repeat(1_450_000)),
        ),
        ("no magic", b"abcd".to_vec()),
        ("nothing", Vec::new()),
    ] {
        let delete = Request::send(
            Method::DELETE,
            dry_small("blobs", ""),
            PROTOBUF,
            body.clone(),
        );
        shots.push(Shot::new(what, delete));
        // The server must reject the media type before it reads the content.
        let create = Request::send(Method::POST, dry("blobs"), PROTOBUF, body);
        let create = Shot::new(what, create).expect(Expect::Rejected);
        shots.push(create.may_close());
    }
    shots
}

fn encodings() -> Vec<Shot> {
    let body = object("blobs", "new", "", "{}");
    let post = |what, kind: &str| {
        let request = Request::send(Method::POST, dry("blobs"), kind, body.clone());
        Shot::new(what, request).copies(1)
    };
    let encoded = Request::send(Method::POST, dry("blobs"), JSON, vec![0x1f, 0x8b, 8, 0]);
    vec![
        post("malformed CBOR", "application/cbor").expect(Expect::Rejected),
        post("a type of 60 kB", &"a".repeat(60_000)).expect(Expect::Rejected),
        post(
            "10,000 parameters",
            &("application/json".to_owned() + &";a=b".repeat(10_000)),
        ),
        post("a form", "application/x-www-form-urlencoded").expect(Expect::Rejected),
        Shot::new("gzip", encoded.header("content-encoding", "gzip")).expect(Expect::Rejected),
        Shot::new(
            "bytes that are not UTF-8",
            Request::send(
                Method::POST,
                dry("blobs"),
                JSON,
                [&b"{\"apiVersion\":\""[..], &[0xff; 100_000][..], b"\"}"].concat(),
            ),
        )
        .expect(Expect::Rejected),
    ]
}
