//! `import-crds`: a store from a cluster.

use anyhow::{Result, bail};
use api_types::meta::Meta;
use backend_proto::limits::{EPOCH_SHIFT, epoch_base};
use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::list_response::Chunk;
use backend_proto::v1::{Header, ImportRequest, Index, Key, Record};
use crd_schema::stored;
use jiff::Timestamp;
use prost_types::Timestamp as Time;
use serde_json::Value;

use super::cluster::{Cluster, Kind};
use crate::args;
use crate::digest::{Digester, Summary};
use crate::key;
use crate::store::{Store, begin};
use crate::tell;
use crate::verify;

/// Bytes of values in one message.
const CHUNK: usize = backend_proto::limits::CHUNK_BYTES;

/// An object on its way into the store.
struct Entry {
    /// The cluster's resourceVersion, which orders the new revisions.
    order: i64,
    record: Record,
}

/// Fills an empty store from a cluster.
///
/// # Errors
/// If the cluster cannot be read, or the driver refuses: then the store is as it was.
pub async fn run(arguments: &args::ImportCrds) -> Result<()> {
    let cluster = Cluster::of(&arguments.cluster)?;
    let store = Store::to(&arguments.to)?;
    let (header, records) = number(gather(&cluster).await?);
    let summary = summary(&records);
    if arguments.dry_run {
        tell::line("would be imported:");
        tell::line(summary);
        if !store.is_empty().await? {
            bail!(
                "would be refused: {}: the store is not empty",
                store.address
            );
        }
        return Ok(());
    }
    let requests = requests(header, records);
    let header = store.import(tokio_stream::iter(requests)).await?;
    if verify::summary(&store, 0).await? != summary {
        bail!(
            "{}: what is there is not what was sent: do not use it",
            store.address
        );
    }
    let Header {
        epoch, revision, ..
    } = header;
    tell::line(format_args!("imported: epoch {epoch}, revision {revision}"));
    tell::line(summary);
    Ok(())
}

/// Every object of every kind.
async fn gather(cluster: &Cluster) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for kind in cluster.kinds().await? {
        let listed = cluster.list(&kind).await?;
        let count = listed.objects.len();
        for object in listed.objects {
            entries.push(entry(&kind, object)?);
        }
        tell::line(format_args!(
            "{}.{}: {count} objects at resourceVersion {}",
            kind.plural, kind.group, listed.resource_version
        ));
    }
    Ok(entries)
}

/// The object as the gateway would store it.
fn entry(kind: &Kind, mut object: Value) -> Result<Entry> {
    let meta = Meta::of(&object);
    let key = Key {
        group: kind.group.clone(),
        resource: kind.plural.clone(),
        namespace: meta.namespace().to_owned(),
        name: meta.name().to_owned(),
    };
    let Ok(order) = meta.resource_version().parse() else {
        bail!("{}: its resourceVersion is no number", key::text(&key));
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

/// When the object was last changed, as far as its managed fields tell.
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

/// New revisions in the order of the old ones, all above them, and the records in key order. An
/// import bumps the epoch, so that the store begins above these, too.
fn number(mut entries: Vec<Entry>) -> (Header, Vec<Record>) {
    entries.sort_by_key(|entry| entry.order);
    let newest = entries.last().map_or(0, |entry| entry.order);
    let epoch = (newest >> EPOCH_SHIFT) + 1;
    let mut revision = epoch_base(epoch);
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

/// One call of Import.
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
    use backend_proto::limits::epoch_base;
    use backend_proto::v1::Record;

    use super::{Entry, number};
    use crate::key;

    #[test]
    fn revisions_are_new_and_in_the_old_order() {
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
        let (header, records) = number(entries);
        let revisions: Vec<i64> = records
            .iter()
            .map(|it| it.revision - epoch_base(1))
            .collect();
        assert_eq!(revisions, [2, 3, 1]);
        assert_eq!((header.epoch, header.revision), (1, epoch_base(1) + 3));
        let (header, records) = number(vec![entry("r.g/n/a", epoch_base(3) + 9)]);
        assert_eq!(header.epoch, 4);
        assert_eq!(records[0].revision, epoch_base(4) + 1);
        assert_eq!(number(Vec::new()).0.revision, epoch_base(1));
    }
}
