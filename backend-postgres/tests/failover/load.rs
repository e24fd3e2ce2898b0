//! Writers that retry forever, like controllers: after any error they read the current state.

use std::time::Duration;

use backend_proto::v1::Key;
use backend_proto::v1::event::Type;
use backend_proto::v1::op_result::Verdict;
use conformance::{CaseContext, Client};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::ledger::{Fact, Ledger};

/// Writers per sidecar, and keys per writer.
const WRITERS: usize = 3;
const KEYS: usize = 6;

/// Pause between two writes of a writer, and before a retry.
const PAUSE: Duration = Duration::from_millis(5);
const RETRY: Duration = Duration::from_millis(50);

/// Running writers.
pub(crate) struct Load {
    stop: CancellationToken,
    writers: JoinSet<()>,
}

impl Load {
    /// Starts writers at each sidecar.
    pub(crate) fn start(contexts: &[CaseContext], ledger: &Ledger) -> Self {
        let stop = CancellationToken::new();
        let mut writers = JoinSet::new();
        for (place, context) in contexts.iter().enumerate() {
            for number in 0..WRITERS {
                let name = format!("w{place}-{number}");
                let writer = Writer {
                    context: context.clone(),
                    client: context.connect(),
                    name,
                    ledger: ledger.clone(),
                    stored: [None; KEYS],
                };
                writers.spawn(writer.work(stop.clone()));
            }
        }
        Self { stop, writers }
    }

    /// Stops the writers between two writes.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.writers.join_next().await {
            ended.expect("a writer");
        }
    }
}

struct Writer {
    context: CaseContext,
    client: Client,
    name: String,
    ledger: Ledger,
    /// Revision of each key.
    stored: [Option<i64>; KEYS],
}

impl Writer {
    async fn work(mut self, stop: CancellationToken) {
        let mut round = 0;
        while !stop.is_cancelled() {
            if !self.write(round).await {
                self.look(round % KEYS, &stop).await;
            }
            round += 1;
            sleep(PAUSE).await;
        }
    }

    fn path(&self, slot: usize) -> String {
        format!("{}/k{slot}", self.name)
    }

    /// Makes one write; returns whether it was acknowledged.
    async fn write(&mut self, round: usize) -> bool {
        let slot = round % KEYS;
        let path = self.path(slot);
        let text = format!("{}.{round}", self.name);
        let (kind, text, op) = match self.stored[slot] {
            None => (
                Type::Created,
                text.clone(),
                self.context.create(&path, text),
            ),
            Some(at) if (round / KEYS + slot) % 4 == 3 => (
                Type::Deleted,
                at.to_string(),
                self.context.delete(&path, at),
            ),
            Some(at) => {
                let op = self.context.update(&path, text.clone(), at);
                (Type::Updated, text, op)
            }
        };
        let Ok(Verdict::Applied(applied)) = self.client.verdict(op).await else {
            return false;
        };
        let revision = applied.revision;
        self.ledger
            .acknowledged(revision, Fact { path, kind, text });
        self.stored[slot] = (kind != Type::Deleted).then_some(revision);
        true
    }

    /// Reads the current state of a key.
    async fn look(&mut self, slot: usize, stop: &CancellationToken) {
        let key: Key = self.context.key(&self.path(slot));
        while !stop.is_cancelled() {
            sleep(RETRY).await;
            if let Ok(found) = self.client.get(&key, 0).await {
                self.stored[slot] = found.record.map(|record| record.revision);
                return;
            }
        }
    }
}
