//! L: ranges, order, pages and the message sequence of a list.

use std::time::Duration;

use backend_proto::limits::CHUNK_BYTES;
use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::list_response::Part;
use backend_proto::v1::{Index, Key, ListRequest, Range, Record};

use super::{Case, case};
use crate::check::{Check, Stop, ensure, same, some};
use crate::client::collect;
use crate::context::{CaseContext, noise};
use crate::key::path_of;

pub(super) const CASES: &[Case] = &[
    case!(
        "L5-pages-come-from-one-snapshot",
        pages,
        "Pages that name the first page's revision and the last key make up its snapshot, whatever \
         is written meanwhile.",
        TimeTravel
    ),
    case!(
        "L5-pages-at-the-present-make-up-the-list",
        present,
        "Pages that name the last key of the page before make up the list, also if that key was \
         deleted meanwhile."
    ),
    case!(
        "L7-records-are-in-key-order",
        order,
        "A list is in the byte order of namespace/name, whole and without duplicates."
    ),
    case!(
        "L7-ranges-contain-exactly-their-keys",
        ranges,
        "A range holds the keys of its resource, namespace and name, and no others."
    ),
    case!(
        "L7-keys-are-compared-by-bytes",
        bytes,
        "Keys that differ in case, spaces, accents or wildcards are different keys, in the order of \
         their bytes."
    ),
    case!(
        "L8-more-reports-whether-keys-follow",
        more,
        "A list ends at its limit, and `more` is set if and only if more keys follow in the range."
    ),
    case!(
        "L10-chunks-are-bounded",
        chunks,
        "A chunk is at most 512 KiB, unless it holds one record alone."
    ),
    case!(
        "L11-a-slow-list-is-one-snapshot",
        slow,
        "A list that is read slowly shows its snapshot although everything is rewritten and \
         compacted meanwhile, or fails; it is never short."
    ),
];

fn paths(records: &[Record]) -> Vec<String> {
    let keys = records.iter().map(|record| record.key.as_ref());
    keys.map(|key| key.map(path_of).unwrap_or_default())
        .collect()
}

/// Names whose order differs as text, as key and as pair of namespace and name.
const AWKWARD: [&str; 12] = [
    "a", "a-b", "a-b/x", "a.b/x", "a/a", "a/x", "a/x-1", "a/x.y", "a0/x", "aa/x", "b", "é/ü",
];

async fn order(context: CaseContext) -> Check {
    let mut expected: Vec<String> = AWKWARD.iter().map(|&path| path.to_owned()).collect();
    for path in expected.iter().rev() {
        context.client.apply(context.create(path, "v")).await?;
    }
    expected.sort();
    let listed = context.client.list(context.all(0)).await?;
    same!(paths(&listed.records), expected, "order of keys");
    ensure!(!listed.more, "`more` is set at the end of a complete list");
    if !context.has(Capability::TimeTravel) {
        return Ok(());
    }
    // The order also holds for lists at a past revision.
    let at = listed.header.revision;
    context.client.apply(context.delete("a/x", 0)).await?;
    context
        .client
        .apply(context.update("a-b/x", "w", 0))
        .await?;
    let past = context.client.list(context.all(at)).await?;
    ensure!(
        past.records == listed.records,
        "a list at {at} differs after later changes"
    );
    Ok(())
}

async fn ranges(context: CaseContext) -> Check {
    for path in AWKWARD {
        context.client.apply(context.create(path, "v")).await?;
    }
    let elsewhere = Key {
        resource: "thingsx".to_owned(),
        ..context.key("a/other")
    };
    let mut op = context.create("a/other", "v");
    op.key = Some(elsewhere.clone());
    context.client.apply(op).await?;
    let named = |namespace: &str, name: &str| Range {
        name: Some(name.to_owned()),
        ..context.range_of(namespace)
    };
    let other = Range {
        resource: elsewhere.resource.clone(),
        ..context.range()
    };
    let nothing = Range {
        resource: "thing".to_owned(),
        ..context.range()
    };
    let table: [(Range, &[&str]); 9] = [
        (context.range_of("a"), &["a/a", "a/x", "a/x-1", "a/x.y"]),
        (context.range_of("a-b"), &["a-b/x"]),
        (context.range_of("missing"), &[]),
        (context.range_of(""), &["a", "a-b", "b"]),
        (named("a", "x"), &["a/x"]),
        (named("a", "missing"), &[]),
        (named("", "a"), &["a"]),
        (other, &["a/other"]),
        (nothing, &[]),
    ];
    for (range, expected) in table {
        let request = ListRequest {
            range: Some(range.clone()),
            ..ListRequest::default()
        };
        let listed = context.client.list(request).await?;
        same!(paths(&listed.records), expected, "keys of {range:?}");
    }
    Ok(())
}

/// Keys that collations, padding, normal forms, wildcards of `LIKE` and numbers confuse.
const CONFUSABLE: [(&str, &str); 13] = [
    ("n/a", "n/A"),
    ("n/b", "n/b "),
    ("n/axc", "n/a_c"),
    ("n/abcd", "n/a%d"),
    ("n/é", "n/e\u{301}"),
    ("n/ss", "n/ß"),
    ("n/i", "n/ı"),
    ("n/1", "n/01"),
    ("n/c\\d", "n/c\u{1}d"),
    // UTF-16 has the reverse order.
    ("n/\u{fffd}", "n/\u{1f980}"),
    ("m/x", "M/x"),
    ("nxm/x", "n_m/x"),
    ("nxxm/x", "n%m/x"),
];

async fn bytes(context: CaseContext) -> Check {
    let client = &context.client;
    for (first, second) in CONFUSABLE {
        client.apply(context.create(first, first)).await?;
        let confused = client.get(&context.key(second), 0).await?.record;
        same!(
            confused,
            None,
            "record of {second:?}, with {first:?} stored"
        );
        client.apply(context.create(second, second)).await?;
    }
    // Parts of a key that are joined without a separator.
    let key = context.key("n/a");
    let joined = [(key.group.clone(), "ab"), (format!("{}a", key.group), "b")];
    for (group, resource) in joined {
        let mut op = context.create("n/a", "v");
        op.key = Some(Key {
            group,
            resource: resource.to_owned(),
            ..key.clone()
        });
        client.apply(op).await?;
    }
    let mut expected: Vec<&str> = CONFUSABLE.iter().flat_map(|(a, b)| [*a, *b]).collect();
    expected.sort_unstable();
    for path in &expected {
        let stored = client.stored(&context.key(path)).await?;
        same!(
            &stored.value[..],
            path.as_bytes(),
            "value of the key {path:?}"
        );
    }
    let listed = client.list(context.all(0)).await?;
    same!(paths(&listed.records), expected, "order of keys");
    for namespace in ["n", "m", "M", "nxm", "n_m", "nxxm", "n%m"] {
        let request = ListRequest {
            range: Some(context.range_of(namespace)),
            ..ListRequest::default()
        };
        let listed = client.list(request).await?;
        let within = |path: &&str| path.split_once('/').is_some_and(|it| it.0 == namespace);
        let expected: Vec<&str> = expected.iter().copied().filter(within).collect();
        same!(
            paths(&listed.records),
            expected,
            "keys of the namespace {namespace:?}"
        );
    }
    Ok(())
}

async fn more(context: CaseContext) -> Check {
    for path in AWKWARD {
        context.client.apply(context.create(path, "v")).await?;
    }
    for (range, count) in [
        (context.range(), 12),
        (context.range_of("a"), 4),
        (context.range_of(""), 3),
    ] {
        for limit in 1..=count + 1 {
            let request = ListRequest {
                range: Some(range.clone()),
                limit,
                ..ListRequest::default()
            };
            let listed = context.client.list(request).await?;
            let expected = (limit.min(count), limit < count);
            let observed = (listed.records.len() as i64, listed.more);
            same!(
                observed,
                expected,
                "records and `more` at limit {limit} of {count}"
            );
        }
    }
    Ok(())
}

async fn pages(context: CaseContext) -> Check {
    let paths =
        |round: i32| (0..40).map(move |number| format!("n{}/k{number:02}-{round}", number % 3));
    let creates = paths(0).map(|path| context.create(&path, noise(1, 500)));
    context.client.apply_all(creates.collect()).await?;
    let whole = context.client.list(context.all(0)).await?;
    for limit in [1, 7, 40] {
        let (mut observed, mut after, mut revision) = (Vec::new(), None, whole.header.revision);
        for page in 0..=whole.records.len() {
            let request = ListRequest {
                after,
                limit,
                ..context.all(revision)
            };
            let listed = context.client.list(request).await?;
            same!(
                listed.header.revision,
                whole.header.revision,
                "revision of page {page}"
            );
            revision = listed.header.revision;
            observed.extend(listed.records);
            after = observed.last().and_then(|record| record.key.clone());
            ensure!(
                whole.records.starts_with(&observed),
                "page {page} of {limit} is not from the snapshot"
            );
            if !listed.more {
                break;
            }
            // Change a key before, at and after the continuation key between pages.
            let at = some(
                after.as_ref().map(path_of),
                "a record on a page that is not the last",
            )?;
            let between = format!("{at}-between-{limit}");
            context
                .client
                .apply(context.create(&between, "new"))
                .await?;
            context
                .client
                .apply(context.update(&at, format!("{limit} {page}"), 0))
                .await?;
        }
        ensure!(
            observed == whole.records,
            "pages of {limit} differ from their snapshot"
        );
    }
    // A continuation key need not exist.
    context.client.apply(context.delete("n1/k01-0", 0)).await?;
    let request = ListRequest {
        after: Some(context.key("n1/k01-0")),
        ..context.all(whole.header.revision)
    };
    let rest = context.client.list(request).await?.records;
    let expected = whole.records.iter().filter(|record| {
        let key = record.key.as_ref();
        key.map(path_of)
            .is_some_and(|path| path.as_str() > "n1/k01-0")
    });
    ensure!(
        rest.iter().eq(expected),
        "the page after a deleted key differs"
    );
    Ok(())
}

async fn present(context: CaseContext) -> Check {
    let client = &context.client;
    let paths: Vec<String> = (0..25)
        .map(|number| format!("n{}/k{number:02}", number % 3))
        .collect();
    let creates = paths.iter().map(|path| context.create(path, "v"));
    client.apply_all(creates.collect()).await?;
    let mut whole = client.list(context.all(0)).await?.records;
    for limit in [1, 7, 25] {
        let (mut observed, mut after) = (Vec::new(), None);
        for page in 0..=whole.len() {
            let request = ListRequest {
                after,
                limit,
                ..context.all(0)
            };
            let listed = client.list(request).await?;
            observed.extend(listed.records);
            after = observed
                .last()
                .and_then(|record: &Record| record.key.clone());
            ensure!(
                whole.starts_with(&observed),
                "page {page} of {limit} does not follow the page before"
            );
            if !listed.more {
                break;
            }
        }
        ensure!(observed == whole, "pages of {limit} differ from the list");
    }
    // A continuation key need not exist.
    let deleted = whole.remove(11).key.unwrap_or_default();
    client.apply(context.delete(&path_of(&deleted), 0)).await?;
    let table: [(Key, &[Record]); 3] = [
        (deleted, &whole[11..]),
        (context.key("a/first"), &whole),
        (context.key("z/last"), &[]),
    ];
    for (after, left) in table {
        let request = ListRequest {
            after: Some(after.clone()),
            ..context.all(0)
        };
        let rest = client.list(request).await?.records;
        ensure!(rest == left, "the page after {} differs", path_of(&after));
    }
    Ok(())
}

async fn chunks(context: CaseContext) -> Check {
    let labels = |number: usize| Index {
        labels: (0..40)
            .map(|n| (format!("{number}/{n}"), "x".repeat(60)))
            .collect(),
        ..Index::default()
    };
    let sizes = [
        10, 600_000, 1_000, 200_000, 300_000, 20_000, 500_000, 40_000,
    ];
    let mut created = 0;
    for (number, size) in sizes.into_iter().enumerate() {
        context
            .client
            .apply(context.create(&format!("big/{number}"), noise(4, size)))
            .await?;
        created += 1;
    }
    // Metadata around a value counts toward the size of a chunk.
    for number in 0..200 {
        let mut op = context.create(&format!("labels/{number:03}"), "v".repeat(100));
        op.index = Some(labels(number));
        context.client.apply(op).await?;
        created += 1;
    }
    let listed = context.client.list(context.all(0)).await?;
    same!(listed.records.len(), created, "records");
    for (bytes, count) in &listed.chunks {
        ensure!(
            *bytes <= CHUNK_BYTES || *count == 1,
            "a chunk of {count} records has {bytes} bytes"
        );
        ensure!(*count > 0, "a chunk without records");
    }
    Ok(())
}

async fn slow(context: CaseContext) -> Check {
    const RECORDS: usize = 120;
    // More than connections buffer, so that the driver is blocked in the middle.
    for number in 0..RECORDS {
        let op = context.create(&format!("ns/k{number:03}"), noise(number as u64, 80_000));
        context.client.apply(op).await?;
    }
    let whole = context.client.list(context.all(0)).await?;
    let reader = context.connect();
    let mut stream = reader.raw().list(context.all(0)).await?.into_inner();
    let first = some(stream.message().await?, "first message of a list")?;
    let Some(Part::Header(header)) = first.part else {
        return Err(Stop::Failed(
            "a list did not begin with its header".to_owned(),
        ));
    };
    let mut last = 0;
    for number in 0..RECORDS {
        let path = format!("ns/k{number:03}");
        let op = match number % 3 {
            0 => context.delete(&path, 0),
            _ => context.update(&path, "small", 0),
        };
        last = context.client.apply(op).await?.revision;
        context
            .client
            .apply(context.create(&format!("{path}-new"), "new"))
            .await?;
    }
    // A driver that rejects compaction fails in another case.
    let _ = context.client.compact(last).await;
    // Simulates a slow reader.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut observed = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => match message.part {
                Some(Part::Chunk(chunk)) => observed.extend(chunk.records),
                Some(Part::Trailer(trailer)) => {
                    same!(trailer.count, observed.len() as i64, "count in the trailer");
                    break;
                }
                _ => return Err(Stop::Failed("a part out of place".to_owned())),
            },
            Ok(None) => return Err(Stop::Failed("a list ended without its trailer".to_owned())),
            // An error is permitted; a short list is not.
            Err(_) => return Ok(()),
        }
    }
    same!(
        header.revision,
        whole.header.revision,
        "revision of the slow list"
    );
    ensure!(
        observed == whole.records,
        "a slow list differs from its snapshot"
    );
    let after = collect(reader.raw().list(context.all(0)).await?.into_inner()).await??;
    same!(
        after.records.len(),
        RECORDS + RECORDS * 2 / 3,
        "records afterwards"
    );
    Ok(())
}
