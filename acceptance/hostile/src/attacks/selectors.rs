//! Long selectors, evaluated over many objects.

use http::Method;

use super::requests::JSON;
use super::{Attack, Expect, Shot};
use crate::client::Request;
use crate::{kinds, seed};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::requests(
        "selectors/requirements",
        "a label selector of 18,000 requirements over 10,000 objects, by list and deletecollection",
        requirements,
    ),
    Attack::requests(
        "selectors/crowd",
        "twenty lists at once with selectors of 15 kB over 10,000 objects",
        crowd,
    ),
    Attack::requests(
        "selectors/values",
        "in and notin with 30,000 values, and field selectors of 3,000 requirements",
        values,
    ),
    Attack::requests(
        "selectors/malformed",
        "malformed selectors of 60 kB: brackets, commas, escapes, unknown fields",
        malformed,
    ),
];

/// List path of the bulk objects. The list must end within the deadline that the query requests.
fn bulk(query: &str) -> String {
    format!(
        "{}?timeout=1s&{query}",
        kinds::collection(seed::BULK_NAMESPACE, "blobs")
    )
}

/// Requirements that every object meets, then one that no object meets, so that evaluation never
/// stops early.
fn demanding(count: usize) -> String {
    format!("labelSelector={}zzz", "!a,".repeat(count))
}

fn requirements() -> Vec<Shot> {
    let selector = demanding(18_000);
    let delete = Request::send(
        Method::DELETE,
        bulk(&format!("dryRun=All&{selector}")),
        JSON,
        "",
    );
    vec![
        Shot::new("18,000 requirements", Request::get(bulk(&selector)))
            .expect(Expect::HandledOrTimeout),
        Shot::new(
            "18,000 requirements, ten at a time",
            Request::get(bulk(&format!("limit=10&{selector}"))),
        )
        .expect(Expect::HandledOrTimeout),
        Shot::new("deletecollection with 18,000 requirements", delete)
            .expect(Expect::HandledOrTimeout),
    ]
}

fn crowd() -> Vec<Shot> {
    let list = Request::get(bulk(&demanding(5_000)));
    vec![
        Shot::new("5,000 requirements", list)
            .copies(20)
            .expect(Expect::HandledOrTimeout),
    ]
}

fn values() -> Vec<Shot> {
    let values = vec!["v"; 30_000].join(",");
    let distinct: String = (0..9_000).map(|n| format!("v{n:04},")).collect();
    let fields = "metadata.name!=a,".repeat(3_000) + "metadata.name=zzz";
    let colors = "spec.color!=a,".repeat(3_500) + "spec.color=zzz";
    let forms = kinds::collection(seed::NAMESPACE, "forms");
    let list =
        |what, path: String| Shot::new(what, Request::get(path)).expect(Expect::HandledOrTimeout);
    vec![
        list(
            "in with 30,000 values",
            bulk(&format!("labelSelector=app%20in%20({values})")),
        ),
        list(
            "notin with 9,000 values",
            bulk(&format!(
                "limit=10&labelSelector=app%20notin%20({distinct}x)"
            )),
        ),
        list(
            "3,000 requirements of names",
            bulk(&format!("fieldSelector={fields}")),
        ),
        list(
            "3,500 requirements of a field",
            format!("{forms}?fieldSelector={colors}"),
        ),
    ]
}

fn malformed() -> Vec<Shot> {
    let list =
        |what, query: String| Shot::new(what, Request::get(bulk(&query))).expect(Expect::Rejected);
    vec![
        list("brackets", format!("labelSelector={}", "(".repeat(60_000))),
        list(
            "a key of 60 kB",
            format!("labelSelector={}", "a".repeat(60_000)),
        ),
        // In kube-apiserver a NUL ends the selector, so this one is empty.
        list(
            "escapes",
            format!("limit=1&labelSelector={}", "%00".repeat(20_000)),
        )
        .expect(Expect::Handled),
        list(
            "operators",
            format!("labelSelector={}", "!=".repeat(30_000)),
        ),
        list(
            "an unknown field of 60 kB",
            format!("fieldSelector={}=1", "f".repeat(60_000)),
        ),
        list(
            "escapes in a field",
            format!("fieldSelector={}", "%5C".repeat(20_000)),
        ),
        list("30,000 parameters", "a&".repeat(30_000) + "labelSelector=("),
    ]
}
