//! `import-crds`: fills a store from a cluster.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, bail};
use api_types::meta::Meta;
use backend_proto::limits::LAST_IMPORT;
use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::list_response::Chunk;
use backend_proto::v1::{DescribeResponse, Header, ImportRequest, Index, Key, Record};
use crd_schema::stored;
use jiff::Timestamp;
use prost_types::Timestamp as Time;
use serde_json::Value;

use super::cluster::{Cluster, Kind, in_the_way};
use super::outgoing::NAMED;
use crate::args;
use crate::copy::obstacle;
use crate::deadlines::Deadlines;
use crate::digest::{Digester, Summary};
use crate::key;
use crate::number;
use crate::output;
use crate::store::{Store, begin, can};

/// Bytes of values per message.
const CHUNK: usize = backend_proto::limits::CHUNK_BYTES;

/// An object to be imported.
struct Entry {
    /// The cluster's resourceVersion, which determines the order of the new revisions.
    order: i64,
    record: Record,
}

/// Fills an empty store from a cluster.
///
/// # Errors
/// If the cluster is unreadable, or the driver rejects the import; the store is unchanged in this
/// case.
pub async fn run(arguments: &args::ImportCrds, deadlines: Deadlines) -> Result<()> {
    let cluster = Cluster::of(&arguments.cluster)?;
    let store = Store::to(&arguments.to, deadlines)?;
    let described = store.describe().await?;
    let entries = gather(&cluster).await?;
    let target = described.header.clone().unwrap_or_default();
    let (header, records) = number(entries, number::base(&target, SystemTime::now())?);
    let summary = summary(&records);
    let mut obstacles = obstacles(&described, &records);
    if obstacles.is_empty() && !store.is_empty().await? {
        obstacles.push("the store is not empty".to_owned());
    }
    if arguments.dry_run {
        output::line("would be imported:");
        output::line(&summary);
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
    let requests = requests(header, records);
    let header = store.import(tokio_stream::iter(requests)).await?;
    if crate::summary::of(&store, 0).await? != summary {
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
fn obstacles(described: &DescribeResponse, records: &[Record]) -> Vec<String> {
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
    obstacles.extend(records.iter().filter_map(|record| obstacle(record, limit)));
    obstacles
}

/// Reads every object of every kind.
async fn gather(cluster: &Cluster) -> Result<Vec<Entry>> {
    let kinds: Vec<Arc<Kind>> = cluster.kinds().await?.into_iter().map(Arc::new).collect();
    if let Some(obstacle) = in_the_way(&cluster.handed_over(&kinds).await?) {
        bail!(obstacle);
    }
    let mut entries = Vec::new();
    for kind in kinds {
        let before = entries.len();
        let listed = cluster.list(&kind, |object| {
            entries.push(entry(&kind, object)?);
            Ok(())
        });
        let resource_version = listed.await?;
        let count = entries.len() - before;
        output::line(format_args!(
            "{}.{}: {count} objects at resourceVersion {resource_version}",
            kind.plural, kind.group
        ));
    }
    Ok(entries)
}

/// Converts an object to the record that the gateway would store.
fn entry(kind: &Kind, mut object: Value) -> Result<Entry> {
    let meta = Meta::of(&object);
    let key = Key {
        group: kind.group.clone(),
        resource: kind.plural.clone(),
        namespace: meta.namespace().to_owned(),
        name: meta.name().to_owned(),
    };
    let Ok(order) = meta.resource_version().parse() else {
        bail!("{}: its resourceVersion is not a number", key::text(&key));
    };
    let created = meta.creation_timestamp();
    let updated = updated(&object).max(created);
    let derived = stored::Index::of(&object, &kind.selectable);
    stored::strip(&mut object);
    let index = Index {
        uid: derived.uid,
        labels: derived.labels.into_iter().collect(),
        fields: derived.fields.into_iter().collect(),
        owner_uids: derived.owner_uids,
    };
    let record = Record {
        key: Some(key),
        value: kube_json::to_vec(&object).into(),
        index: Some(index),
        created_at: created.map(wire),
        updated_at: updated.map(wire),
        ..Record::default()
    };
    Ok(Entry { order, record })
}

/// Returns the time of the last change according to managedFields.
fn updated(object: &Value) -> Option<Timestamp> {
    let managed = object["metadata"]["managedFields"].as_array()?;
    let times = managed.iter().filter_map(|entry| entry["time"].as_str());
    times.filter_map(api_types::time::parse).max()
}

fn wire(time: Timestamp) -> Time {
    Time {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// Assigns new revisions above `base` in the order of the old ones; returns the records in key
/// order. If the cluster's revisions fit in a double, as etcd's do, the new ones are above these
/// too. An import begins a new epoch, so that the store begins above all of them.
fn number(mut entries: Vec<Entry>, base: i64) -> (Header, Vec<Record>) {
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
        store_id: uuid::Uuid::new_v4().to_string(),
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
fn requests(source: Header, records: Vec<Record>) -> impl Iterator<Item = ImportRequest> {
    let options = Options {
        source: Some(source),
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
        let record = |bytes: usize| Record {
            key: Some(key::parse("r.g/n/a").expect("a key")),
            value: vec![b' '; bytes].into(),
            ..Record::default()
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
            let found = obstacles(described, &[record(bytes)]);
            assert_eq!(found.len(), usize::from(expected.is_some()), "{found:?}");
            let expected = expected.unwrap_or_default();
            assert!(found.iter().all(|it| it.contains(expected)), "{found:?}");
        }
    }

    #[test]
    fn imported_revisions_are_new_and_keep_their_order() {
        let entry = |path: &str, order| Entry {
            order,
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
        let (header, records) = number(entries, 100);
        let revisions: Vec<i64> = records.iter().map(|it| it.revision).collect();
        assert_eq!(revisions, [102, 103, 101]);
        assert_eq!((header.epoch, header.revision), (100, 103));
        // Above the cluster's revisions, except those of a store before 0.2, which are too large.
        let old = 240_000 << 40;
        let (header, records) = number(vec![entry("r.g/n/a", old), entry("r.g/n/b", 700)], 100);
        assert_eq!((header.epoch, header.revision), (700, 702));
        let revisions: Vec<i64> = records.iter().map(|it| it.revision).collect();
        assert_eq!(revisions, [702, 701]);
        assert_eq!(number(Vec::new(), 100).0.revision, 100);
    }
}
