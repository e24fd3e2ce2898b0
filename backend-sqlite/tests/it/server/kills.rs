//! Tests of kill -9 under load: no acknowledged change is lost, none is applied twice, no revision
//! is reused, and a watcher that resumes gets every change once and in order.

use std::collections::BTreeMap;
use std::time::Duration;

use backend_proto::v1::op::Action;
use backend_proto::v1::watch_response::Body;
use backend_proto::v1::{Event, Op};
use tokio::task::JoinSet;

use crate::server::program::{Client, Program, list, op, watch, write};

const KILLS: usize = 50;
const WRITERS: usize = 8;

/// What the clients have observed in all rounds.
#[derive(Default)]
struct Known {
    /// Names by acknowledged revision.
    acknowledged: BTreeMap<i64, String>,
    /// Operations sent without a response.
    open: Vec<Op>,
    seen: Vec<Event>,
    cursor: i64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_survives_fifty_kills_under_load() {
    let mut program = Program::new();
    let mut known = Known::default();
    for round in 0..KILLS {
        let client = program.start().await;
        known.check_head(&client).await;
        known.settle(&client).await;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write_until_dead(
                client.clone(),
                format!("r{round}-w{writer}"),
            ));
        }
        let mut watcher = JoinSet::new();
        watcher.spawn(watch_until_dead(client.clone(), known.cursor));
        // Kill at a different moment each time.
        tokio::time::sleep(Duration::from_millis(20 + (round as u64 * 7) % 60)).await;
        program.kill();
        while let Some(written) = writers.join_next().await {
            let (acknowledged, open) = written.expect("writer");
            for (revision, name) in acknowledged {
                let before = known.acknowledged.insert(revision, name);
                assert_eq!(before, None, "revision {revision} was given twice");
            }
            known.open.push(open);
        }
        let (events, cursor) = watcher.join_next().await.expect("a task").expect("watcher");
        known.seen.extend(events);
        known.cursor = cursor;
    }
    let client = program.start().await;
    known.check_head(&client).await;
    known.settle(&client).await;
    known.check_end(&client).await;
}

/// Creates objects until a call fails; returns the acknowledged ones and the failed operation.
async fn write_until_dead(client: Client, prefix: String) -> (Vec<(i64, String)>, Op) {
    let mut acknowledged = Vec::new();
    loop {
        let name = format!("{prefix}-{}", acknowledged.len());
        let next = op(Action::Create, &name, "v".repeat(500));
        match write(&client, next.clone()).await {
            Ok((revision, header)) => {
                assert!(header.revision >= revision);
                acknowledged.push((revision, name));
            }
            Err(_) => return (acknowledged, next),
        }
    }
}

/// Watches until the stream breaks; returns the events and the revision up to which they are
/// complete.
async fn watch_until_dead(client: Client, start: i64) -> (Vec<Event>, i64) {
    let (mut events, mut cursor) = (Vec::new(), start);
    let Ok(mut stream) = watch(&client, start).await else {
        return (events, cursor);
    };
    while let Ok(Some(response)) = stream.message().await {
        assert!(response.through_revision >= cursor, "progress went back");
        match response.body {
            Some(Body::Events(batch)) => events.extend(batch.events),
            Some(Body::Created(created)) => assert!(start == 0 || created.start_revision == start),
            _ => {}
        }
        cursor = response.through_revision;
    }
    (events, cursor)
}

impl Known {
    /// Checks that the store is not behind any observed revision.
    async fn check_head(&mut self, client: &Client) {
        let (header, _) = list(client).await;
        let acknowledged_revision = self.acknowledged.keys().next_back().copied().unwrap_or(0);
        assert!(
            header.revision >= acknowledged_revision.max(self.cursor),
            "the store went back"
        );
        if self.cursor == 0 {
            self.cursor = header.revision;
        }
    }

    /// Repeats operations without a response: each must be applied exactly once.
    async fn settle(&mut self, client: &Client) {
        for op in std::mem::take(&mut self.open) {
            let name = op.key.as_ref().expect("key").name.clone();
            let (revision, _) = write(client, op.clone()).await.expect("repeated");
            let (again, _) = write(client, op).await.expect("repeated twice");
            assert_eq!(again, revision, "{name} was applied twice");
            let before = self.acknowledged.insert(revision, name);
            assert_eq!(before, None, "revision {revision} was given twice");
        }
    }

    async fn check_end(mut self, client: &Client) {
        let (header, records) = list(client).await;
        let stored: BTreeMap<i64, String> = records
            .into_iter()
            .map(|record| (record.revision, record.key.expect("key").name))
            .collect();
        assert!(stored.len() > KILLS * WRITERS, "the load was too small");
        assert_eq!(stored, self.acknowledged);

        let mut stream = watch(client, self.cursor).await.expect("resumed");
        while self.cursor < header.revision {
            let response = stream.message().await.expect("watch").expect("open");
            if let Some(Body::Events(batch)) = response.body {
                self.seen.extend(batch.events);
            }
            self.cursor = response.through_revision;
        }
        let seen: Vec<(i64, String)> = self
            .seen
            .into_iter()
            .map(|event| {
                let key = event.record.and_then(|record| record.key);
                (event.revision, key.expect("key").name)
            })
            .collect();
        assert_eq!(seen, stored.into_iter().collect::<Vec<_>>());
    }
}
