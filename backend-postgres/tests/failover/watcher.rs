//! A client that lists and watches forever: it resumes where it was, and lists again when required.

use std::collections::BTreeSet;
use std::time::Duration;

use backend_proto::error::from_status;
use backend_proto::v1::backend_error::Reason;
use conformance::{CaseContext, Client, Listed, Replay, Stop};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::Status;

use crate::ledger::Ledger;

const RETRY: Duration = Duration::from_millis(50);

/// State of a watcher.
pub(crate) struct Watcher {
    context: CaseContext,
    client: Client,
    ledger: Ledger,
    /// Revision at which it stops.
    target: watch::Receiver<i64>,
    state: Replay,
    cursor: i64,
    /// Reasons why its watches ended or were rejected, in order.
    pub(crate) ends: Vec<Reason>,
    pub(crate) lists: usize,
}

impl Watcher {
    pub(crate) fn new(
        context: &CaseContext,
        ledger: &Ledger,
        target: watch::Receiver<i64>,
    ) -> Self {
        Self {
            context: context.clone(),
            client: context.connect(),
            ledger: ledger.clone(),
            target,
            state: Replay::default(),
            cursor: 0,
            ends: Vec::new(),
            lists: 0,
        }
    }

    /// Runs until it has received everything up to the target.
    pub(crate) async fn work(mut self) -> Self {
        let mut fresh = false;
        while self.cursor < *self.target.borrow() {
            if !fresh {
                self.list().await;
            }
            let end = match self.follow().await {
                Ok(()) => break,
                Err(end) => end,
            };
            let reason = from_status(&end).map_or(Reason::Unspecified, |error| error.reason());
            if self.ends.last() != Some(&reason) {
                self.ends.push(reason);
            }
            fresh = !matches!(reason, Reason::Compacted | Reason::EpochChanged);
            if fresh {
                sleep(RETRY).await;
            }
        }
        self
    }

    /// Fails unless a list equals the state built from events.
    pub(crate) fn matches(&self, listed: &Listed) {
        let matched = self.state.matches(&listed.records, "the list at the end");
        matched.expect("a watcher with everything");
    }

    async fn list(&mut self) {
        self.lists += 1;
        loop {
            match self.client.try_list(self.context.all(0)).await {
                Ok(Ok(listed)) => {
                    self.ledger.header(&listed.header);
                    self.cursor = listed.header.revision;
                    self.state = Replay::from_list(&listed.records, self.cursor);
                    return;
                }
                Ok(Err(_)) => sleep(RETRY).await,
                Err(stop) => {
                    self.broken(&stop);
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Runs one watch, to the target or to its end.
    async fn follow(&mut self) -> Result<(), Status> {
        let start = self.cursor;
        let opened = self.client.try_watch(self.context.after(start)).await;
        let mut stream = self.check_rules(opened)??;
        let mut observed = BTreeSet::new();
        let end = loop {
            if self.cursor >= *self.target.borrow() {
                break Ok(());
            }
            let message = stream.next().await;
            let message = match self.check_rules(message)? {
                Ok(message) => message,
                Err(end) => break Err(end),
            };
            for event in &message.events {
                self.ledger.event(event);
                observed.insert(event.revision);
                if !self.ledger.are_of_one_epoch(event.revision, start) {
                    let revision = event.revision;
                    let problem = format!("a watch from {start} went on to {revision}");
                    self.ledger.problem(problem);
                }
                let applied = self.state.apply(event);
                self.check_rules(applied)?;
            }
            self.cursor = message.up_to_revision;
        };
        for expected in self.ledger.between(start, self.cursor) {
            if !observed.contains(&expected) {
                let cursor = self.cursor;
                let problem = format!("a watch from {start} to {cursor} left out {expected}");
                self.ledger.problem(problem);
            }
        }
        end
    }

    /// Records a broken rule; the watch ends.
    fn check_rules<T>(&self, checked: Result<T, Stop>) -> Result<T, Status> {
        checked.map_err(|stop| {
            self.broken(&stop);
            Status::internal(stop.to_string())
        })
    }

    fn broken(&self, stop: &Stop) {
        self.ledger.problem(stop.to_string());
    }
}
