//! Writers that record what was acknowledged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use kube_http::Client;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{MEMORIES, memory};
use crate::call::{Call, Response};

/// Pause between writes.
const PAUSE: Duration = Duration::from_millis(80);
/// Longest time in which all writes of a writer may be refused before it gives up.
const GIVE_UP: Duration = Duration::from_secs(200);

/// What one object may be; the text, or `None` if it does not exist.
type Possible = Vec<Option<String>>;

/// What was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Possible states by name: one, unless the outcome of the last write is unknown.
    objects: BTreeMap<String, Possible>,
    pub(super) acknowledged: usize,
    pub(super) refused: usize,
    pub(super) refused_for: Duration,
}

pub(super) struct Writer {
    client: Client,
    name: String,
    ledger: Ledger,
}

impl Ledger {
    pub(super) fn merge(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.refused_for = self.refused_for.max(other.refused_for);
    }

    /// Checks that every object is as it was acknowledged.
    ///
    /// # Errors
    /// With the number of objects that are not, and the first.
    pub(super) fn check(&self, visible: &BTreeMap<String, (String, String)>) -> Result<()> {
        let wrong = self.objects.iter().filter(|(name, possible)| {
            let found = visible.get(*name).map(|(_, text)| text.clone());
            !possible.contains(&found)
        });
        let wrong: Vec<_> = wrong.collect();
        if let Some((name, possible)) = wrong.first() {
            bail!(
                "{} of {} objects are not as acknowledged, such as {name}: {:?} instead of \
                 {possible:?}",
                wrong.len(),
                self.objects.len(),
                visible.get(*name)
            );
        }
        Ok(())
    }
}

impl Writer {
    pub(super) fn new(client: Client, name: String) -> Self {
        Self {
            client,
            name,
            ledger: Ledger::default(),
        }
    }

    /// Creates objects, changes each, and deletes every third, until `stop` is cancelled.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<Ledger> {
        let mut number = 0;
        while !stop.is_cancelled() {
            let name = format!("{}-{number}", self.name);
            number += 1;
            let path = format!("{MEMORIES}/{name}");
            let created = format!("http://created-{number}");
            let body = memory(&name, &created);
            let create = Call::new("POST", MEMORIES).body(&body);
            self.ledger.objects.insert(name.clone(), vec![None]);
            if !self
                .write(&name, &create, 201, Some(created), &stop)
                .await?
            {
                continue;
            }
            let changed = format!("http://changed-{number}");
            let patch = json!({"spec": {"address": {"value": changed}}});
            let change = Call::new("PATCH", &path).body(&patch);
            if !self
                .write(&name, &change, 200, Some(changed), &stop)
                .await?
            {
                continue;
            }
            if number % 3 == 0 {
                let delete = Call::new("DELETE", &path);
                self.write(&name, &delete, 200, None, &stop).await?;
            }
        }
        Ok(self.ledger)
    }

    /// Writes until the write is acknowledged; false if its outcome is unknown, or at the end.
    async fn write(
        &mut self,
        name: &str,
        call: &Call<'_>,
        expected: u16,
        state: Option<String>,
        stop: &CancellationToken,
    ) -> Result<bool> {
        let began = Instant::now();
        let mut refused = 0;
        loop {
            sleep(PAUSE).await;
            let sent = call.clone().send(&self.client).await;
            let possible = self.ledger.objects.entry(name.to_owned()).or_default();
            let response = match sent {
                Ok(response) if response.status == expected => {
                    *possible = vec![state];
                    self.ledger.acknowledged += 1;
                    if refused > 0 {
                        self.ledger.refused_for = self.ledger.refused_for.max(began.elapsed());
                    }
                    return Ok(true);
                }
                Ok(response) if is_refusal(&response) => response,
                Ok(response) if response.status < 500 => {
                    bail!("{call:?}: {} {}", response.status, response.message())
                }
                // The connection broke, or kube-apiserver timed out.
                _ => {
                    possible.push(state);
                    return Ok(false);
                }
            };
            refused += 1;
            self.ledger.refused += 1;
            if stop.is_cancelled() {
                self.ledger.refused_for = self.ledger.refused_for.max(began.elapsed());
                return Ok(false);
            }
            ensure!(
                began.elapsed() < GIVE_UP,
                "refused for {GIVE_UP:?}: {} {}",
                response.status,
                response.message()
            );
        }
    }
}

/// Whether a response says that nothing was written, in a way that clients understand.
fn is_refusal(response: &Response) -> bool {
    let closed = response
        .message()
        .contains("the CRDs are closed by arkctl adopt");
    matches!(response.status, 429 | 503) || closed
}
