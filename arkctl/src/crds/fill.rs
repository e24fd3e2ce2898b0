//! `import-crds`: fills a store from a cluster.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, bail};
use backend_proto::limits::LAST_IMPORT;
use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::list_response::Chunk;
use backend_proto::v1::{DescribeResponse, Header, ImportRequest, Key, Record};
use futures_util::{FutureExt, StreamExt as _, TryStreamExt as _, stream};

use super::cluster::{Cluster, Kind, in_the_way};
use super::content::Content;
use super::converge::converge;
use super::entry::Entry;
use super::outgoing::NAMED;
use crate::args;
use crate::copy::obstacle;
use crate::deadlines::Deadlines;
use crate::digest::{Digester, Summary};
use crate::key;
use crate::number;
use crate::output;
use crate::store::{Store, begin, can};

/// Kinds that are listed at once.
const LISTS: usize = 4;
/// Bytes of values per message.
const CHUNK: usize = backend_proto::limits::CHUNK_BYTES;

/// Fills an empty store from a cluster, or with `--incremental` brings a filled one up to it.
///
/// # Errors
/// If the cluster is unreadable, or the driver rejects the import; an empty store is unchanged in
/// this case.
pub async fn run(arguments: &args::ImportCrds, deadlines: Deadlines) -> Result<()> {
    let cluster = Cluster::of(&arguments.cluster)?;
    let store = Store::to(&arguments.to, deadlines)?;
    let described = store.describe().await?;
    let kinds = cluster.kinds().await?;
    if let Some(obstacle) = in_the_way(&cluster.handed_over(&kinds).await?) {
        bail!(obstacle);
    }
    let entries = gather(&cluster, &kinds).await?;
    let mut obstacles = obstacles(&described, &entries);
    obstacles.extend(kinds.iter().filter_map(|kind| kind.mixed()));
    let filled = obstacles.is_empty() && !store.is_empty().await?;
    let difference = if filled {
        let stored = Content::of_store(&store, &cluster.groups).await?;
        let difference = Content::of_entries(&entries).difference(&stored);
        if difference.is_none() {
            let digest = stored.digest();
            let count = stored.0.len();
            output::line(format_args!(
                "imported already: {count} objects, content digest {digest}"
            ));
            return Ok(());
        }
        difference
    } else {
        None
    };
    if let Some(difference) = difference.as_ref().filter(|_| !arguments.incremental) {
        obstacles.push(format!(
            "the store is not empty: {difference}; --incremental writes the differences"
        ));
    }
    if arguments.dry_run {
        output::line("would be imported:");
        output::line(Content::of_entries(&entries).counts());
    }
    for obstacle in obstacles.iter().take(NAMED) {
        output::line(format_args!("obstacle: {obstacle}"));
    }
    if let Some(first) = obstacles.first() {
        let count = obstacles.len();
        bail!(
            "{}: nothing was imported: {first} ({count} obstacles)",
            store.address
        );
    }
    if arguments.dry_run {
        output::line("no obstacles; nothing was imported");
        return Ok(());
    }
    if filled {
        let changes = converge(&store, &cluster.groups, &entries, &described).await?;
        output::line(changes);
        return Ok(());
    }
    let store_id = uuid::Uuid::new_v4().to_string();
    fill(&store, &described, entries, store_id).await
}

/// Imports the objects of a cluster into an empty store, and compares.
///
/// # Errors
/// If the driver rejects the import, or the store then differs from what was sent.
pub(crate) async fn fill(
    store: &Store,
    described: &DescribeResponse,
    entries: Vec<Entry>,
    store_id: String,
) -> Result<()> {
    let target = described.header.clone().unwrap_or_default();
    let base = number::base(&target, SystemTime::now())?;
    let (header, records) = number(entries, base, store_id);
    let summary = summary(&records);
    let discard = described.import_progress.is_some();
    let requests = requests(header, records, discard);
    let header = store.import(tokio_stream::iter(requests)).await?;
    if crate::summary::of(store, 0).await? != summary {
        bail!(
            "{}: the target differs from what was sent: do not use it",
            store.address
        );
    }
    let Header {
        epoch, revision, ..
    } = header;
    output::line(format_args!("imported: epoch {epoch}, revision {revision}"));
    output::line(summary);
    Ok(())
}

/// Returns a message for every reason to reject the records that does not depend on the store's
/// content.
pub(crate) fn obstacles(described: &DescribeResponse, entries: &[Entry]) -> Vec<String> {
    let mut obstacles = Vec::new();
    if !can(described, Capability::Export) {
        obstacles.push("the driver can neither export nor import".to_owned());
    }
    if !described.fenced.is_empty() {
        let reason = &described.fenced;
        obstacles.push(format!(
            "the store is fenced ({reason}): lift the fence with arkctl fence --lift"
        ));
    }
    if described.import_progress.is_some() {
        obstacles.push("it holds an unfinished copy: use a new database".to_owned());
    }
    let limit = described.limits.map_or(0, |limits| limits.value_bytes);
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let limit = limit.unwrap_or(usize::MAX);
    obstacles.extend(entries.iter().filter_map(|it| obstacle(&it.record, limit)));
    obstacles
}

/// Reads every object of every kind.
///
/// # Errors
/// If a kind cannot be listed.
pub(crate) async fn gather(cluster: &Cluster, kinds: &[Arc<Kind>]) -> Result<Vec<Entry>> {
    let lists = kinds.iter().map(|kind| async move {
        let mut entries = Vec::new();
        let listed = cluster.list(kind, |object| {
            entries.push(Entry::of(kind, object)?);
            Ok(())
        });
        listed.await?;
        anyhow::Ok(entries)
    });
    // Boxed: the compiler cannot name the lifetimes of the closures otherwise.
    let lists: Vec<_> = lists.map(FutureExt::boxed_local).collect();
    let lists = stream::iter(lists).buffered(LISTS);
    let lists: Vec<Vec<Entry>> = lists.try_collect().await?;
    Ok(lists.into_iter().flatten().collect())
}

/// Assigns new revisions above `base` in the order of the old ones; returns the records in key
/// order. If the cluster's revisions fit in a double, as etcd's do, the new ones are above these
/// too. An import begins a new epoch, so that the store begins above all of them.
fn number(mut entries: Vec<Entry>, base: i64, store_id: String) -> (Header, Vec<Record>) {
    entries.sort_by_key(|entry| entry.order);
    let fits = |order: &i64| (0..=LAST_IMPORT / 2).contains(order);
    let orders = entries.iter().map(|entry| entry.order);
    let epoch = orders.filter(fits).fold(base, i64::max);
    let mut revision = epoch;
    let mut records: Vec<Record> = Vec::with_capacity(entries.len());
    for Entry { mut record, .. } in entries {
        revision += 1;
        record.revision = revision;
        record.create_revision = revision;
        records.push(record);
    }
    let empty = Key::default();
    let at = |record: &Record| record.key.clone().unwrap_or(empty.clone());
    records.sort_by(|a, b| key::order(&at(a), &at(b)));
    let header = Header {
        store_id,
        epoch,
        revision,
        compact_revision: revision,
    };
    (header, records)
}

fn summary(records: &[Record]) -> Summary {
    let mut digester = Digester::default();
    records.iter().for_each(|record| digester.add(record));
    digester.finish()
}

/// Returns the requests of one call of Import.
fn requests(
    source: Header,
    records: Vec<Record>,
    discard: bool,
) -> impl Iterator<Item = ImportRequest> {
    let options = Options {
        source: Some(source),
        discard,
        ..Options::default()
    };
    let done = Done {
        records: records.len() as i64,
        events: 0,
    };
    let request = |part| ImportRequest { part: Some(part) };
    let mut rest = records.into_iter().peekable();
    let chunks = std::iter::from_fn(move || {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some(record) = rest.next_if(|it| bytes == 0 || bytes + it.value.len() <= CHUNK) {
            bytes += record.value.len();
            records.push(record);
        }
        (!records.is_empty()).then_some(Chunk { records })
    });
    let chunks = chunks.map(move |chunk| request(Part::Chunk(chunk)));
    std::iter::once(begin(options))
        .chain(chunks)
        .chain(std::iter::once(request(Part::Done(done))))
}

#[cfg(test)]
mod tests {
    use backend_proto::v1::describe_response::Capability;
    use backend_proto::v1::{DescribeResponse, ImportProgress, Limits, Record};

    use super::{Entry, number, obstacles};
    use crate::key;

    #[test]
    fn import_obstacles_are_reported() {
        let open = DescribeResponse {
            capabilities: vec![Capability::Export.into()],
            limits: Some(Limits {
                value_bytes: 10,
                ..Limits::default()
            }),
            ..DescribeResponse::default()
        };
        let entry = |bytes: usize| Entry {
            order: 1,
            hash: [0; 32],
            record: Record {
                key: Some(key::parse("r.g/n/a").expect("a key")),
                value: vec![b' '; bytes].into(),
                ..Record::default()
            },
        };
        let fenced = DescribeResponse {
            fenced: "moving".to_owned(),
            ..open.clone()
        };
        let unfinished = DescribeResponse {
            import_progress: Some(ImportProgress::default()),
            ..open.clone()
        };
        let plain = DescribeResponse {
            capabilities: Vec::new(),
            ..open.clone()
        };
        for (described, bytes, expected) in [
            (&open, 10, None),
            (&open, 11, Some("r.g/n/a: 11 bytes")),
            (&fenced, 10, Some("fenced (moving)")),
            (&unfinished, 10, Some("unfinished copy")),
            (&plain, 10, Some("neither export nor import")),
        ] {
            let found = obstacles(described, &[entry(bytes)]);
            assert_eq!(found.len(), usize::from(expected.is_some()), "{found:?}");
            let expected = expected.unwrap_or_default();
            assert!(found.iter().all(|it| it.contains(expected)), "{found:?}");
        }
    }

    #[test]
    fn imported_revisions_are_new_and_keep_their_order() {
        let entry = |path: &str, order| Entry {
            order,
            hash: [0; 32],
            record: Record {
                key: Some(key::parse(path).expect("a key")),
                ..Record::default()
            },
        };
        let entries = vec![
            entry("r.g/n/b", 30),
            entry("r.g/n/c", 10),
            entry("r.g/n/a", 20),
        ];
        let (header, records) = number(entries, 100, String::new());
        let revisions: Vec<i64> = records.iter().map(|it| it.revision).collect();
        assert_eq!(revisions, [102, 103, 101]);
        assert_eq!((header.epoch, header.revision), (100, 103));
        // Above the cluster's revisions, except those of a store before 0.2, which are too large.
        let old = 240_000 << 40;
        let (header, records) = number(
            vec![entry("r.g/n/a", old), entry("r.g/n/b", 700)],
            100,
            String::new(),
        );
        assert_eq!((header.epoch, header.revision), (700, 702));
        let revisions: Vec<i64> = records.iter().map(|it| it.revision).collect();
        assert_eq!(revisions, [702, 701]);
        assert_eq!(number(Vec::new(), 100, String::new()).0.revision, 100);
    }
}
