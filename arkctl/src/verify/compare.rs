//! Comparison of two stores, merged in key order.

use std::cmp::Ordering;
use std::collections::VecDeque;

use anyhow::Result;
use backend_proto::v1::{ExportRequest, Key, Record};

use crate::digest::{Digester, Summary};
use crate::key;
use crate::output::Progress;
use crate::store::{Export, Store};

/// Result of a comparison.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Summary of the first store; partial if there is a difference.
    pub(crate) left: Summary,
    /// The first key that differs, and the kind of difference.
    pub(crate) difference: Option<String>,
}

/// One of the stores.
struct Side {
    export: Export,
    ready: VecDeque<Record>,
    complete: bool,
}

/// Compares two stores, each at a revision; 0 means the current one.
pub(crate) async fn compare(
    left: &Store,
    right: &Store,
    revisions: [i64; 2],
) -> Result<Comparison> {
    let mut a = Side::open(left, revisions[0]).await?;
    let mut b = Side::open(right, revisions[1]).await?;
    let mut digester = Digester::default();
    let mut progress = Progress::new("compared", a.export.about_records);
    let difference = loop {
        let ((fresh, bytes), _) = futures_util::try_join!(a.fill(), b.fill())?;
        if fresh > 0 {
            progress.add(fresh, bytes);
        }
        let (one, other) = (a.ready.pop_front(), b.ready.pop_front());
        if let Some(record) = &one {
            digester.add(record);
        }
        match (one, other) {
            (None, None) => break None,
            (Some(one), Some(other)) => {
                if let Some(difference) = differ(&one, &other, left, right) {
                    break Some(difference);
                }
            }
            (Some(only), None) => break Some(missing(&only, right)),
            (None, Some(only)) => break Some(missing(&only, left)),
        }
    };
    progress.finish();
    Ok(Comparison {
        left: digester.finish(),
        difference,
    })
}

fn missing(record: &Record, store: &Store) -> String {
    let key = record.key.clone().unwrap_or_default();
    format!("{} is missing in {}", key::text(&key), store.address)
}

/// Returns the difference between two records that should be equal.
fn differ(one: &Record, other: &Record, left: &Store, right: &Store) -> Option<String> {
    let key = |record: &Record| record.key.clone().unwrap_or_default();
    let (first, second): (Key, Key) = (key(one), key(other));
    match key::order(&first, &second) {
        Ordering::Less => return Some(missing(one, right)),
        Ordering::Greater => return Some(missing(other, left)),
        Ordering::Equal => {}
    }
    let index = |record: &Record| record.index.clone().unwrap_or_default();
    let what = if one.revision != other.revision {
        format!("revisions {} and {}", one.revision, other.revision)
    } else if one.create_revision != other.create_revision {
        "creation revisions".to_owned()
    } else if one.unreadable != other.unreadable {
        "unreadable in one of the stores".to_owned()
    } else if one.value != other.value {
        "the values".to_owned()
    } else if index(one) != index(other) {
        "the index".to_owned()
    } else {
        return None;
    };
    Some(format!("{} ({what})", key::text(&first)))
}

// === impl Side ===

impl Side {
    async fn open(store: &Store, revision: i64) -> Result<Self> {
        let request = ExportRequest {
            revision,
            ..ExportRequest::default()
        };
        Ok(Self {
            export: store.export(request).await?,
            ready: VecDeque::new(),
            complete: false,
        })
    }

    /// Reads the next record, if any; returns the number of records and bytes received.
    async fn fill(&mut self) -> Result<(usize, usize)> {
        let mut fresh = (0, 0);
        while self.ready.is_empty() && !self.complete {
            match self.export.records().await? {
                Some(records) => {
                    fresh.0 += records.len();
                    fresh.1 += records.iter().map(|it| it.value.len()).sum::<usize>();
                    self.ready = records.into();
                }
                None => self.complete = true,
            }
        }
        Ok(fresh)
    }
}
