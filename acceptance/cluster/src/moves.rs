//! Clients of Ark's kinds while `arkctl` moves them between CRDs and the gateway.

pub(crate) mod arkctl;
pub(crate) mod crds;

mod reflector;
mod writers;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube_http::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::reflector::{Reflector, View};
use self::writers::{Ledger, Writer};
use crate::call::Call;
use crate::poll::until;

/// Namespace of the objects.
pub(crate) const NAMESPACE: &str = "moves";
/// Collection of the objects that are written.
pub(crate) const MEMORIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/moves/memories";
/// Time in which every client must be consistent after a move.
const CONSISTENT: Duration = Duration::from_secs(60);
/// Writers, each of which makes about 12 writes per second.
const WRITERS: usize = 4;

/// A Memory.
pub(crate) fn memory(name: &str, text: &str) -> Value {
    json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1", "kind": "Memory",
        "metadata": {"name": name},
        "spec": {"address": {"value": text}},
    })
}

/// Writers and an informer.
#[derive(Debug)]
pub(crate) struct Clients {
    client: Client,
    tasks: JoinSet<Result<Option<Ledger>>>,
    view: View,
    stop: CancellationToken,
    stop_reflector: CancellationToken,
}

/// What the clients saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    /// Longest time in which one writer's writes were refused.
    pub(crate) refused_for: Duration,
    /// Time until the informer had the server's state.
    pub(crate) consistent_after: Duration,
}

impl Clients {
    /// Starts them. `name` distinguishes the objects of several loads.
    pub(crate) fn start(client: &Client, name: &str) -> Self {
        let mut tasks = JoinSet::new();
        let (stop, stop_reflector) = (CancellationToken::new(), CancellationToken::new());
        let view = View::default();
        let reflector = Reflector::new(client.clone(), view.clone());
        let stopped = stop_reflector.clone();
        tasks.spawn(async move {
            stopped.run_until_cancelled(reflector.run()).await;
            Ok(None)
        });
        for index in 0..WRITERS {
            let writer = Writer::new(client.clone(), format!("{name}-{index}"));
            let stop = stop.clone();
            tasks.spawn(async move { writer.run(stop).await.map(Some) });
        }
        Self {
            client: client.clone(),
            tasks,
            view,
            stop,
            stop_reflector,
        }
    }

    /// Stops the writers, and checks what is visible against what was acknowledged, and the informer's
    /// state against the server's.
    ///
    /// # Errors
    /// With the first difference.
    pub(crate) async fn finish(mut self) -> Result<Figures> {
        self.stop.cancel();
        let mut ledger = Ledger::default();
        for _ in 0..WRITERS {
            let ended = self
                .tasks
                .join_next()
                .await
                .context("a writer is missing")?;
            let ended = ended.context("a client panicked")??;
            ledger.merge(ended.context("the informer has ended")?);
        }
        let visible = visible(&self.client).await?;
        ledger.check(&visible)?;
        let ((), consistent_after) = until(CONSISTENT, async || {
            Ok(match self.view.difference(&visible) {
                None => Ok(()),
                Some(difference) => Err(format!("the informer: {difference}")),
            })
        })
        .await?;
        self.stop_reflector.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a client panicked")??;
        }
        Ok(Figures {
            acknowledged: ledger.acknowledged,
            refused: ledger.refused,
            refused_for: ledger.refused_for,
            consistent_after,
        })
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} writes acknowledged, {} refused for at most {:.1} s, informer consistent after \
             {:.1} s",
            self.acknowledged,
            self.refused,
            self.refused_for.as_secs_f64(),
            self.consistent_after.as_secs_f64()
        )
    }
}

/// uid and text of every object by name.
pub(crate) async fn visible(client: &Client) -> Result<BTreeMap<String, (String, String)>> {
    let list = Call::new("GET", MEMORIES).json_with_retries(client).await?;
    let items = list["items"].as_array().context("no list")?;
    let mut visible = BTreeMap::new();
    for item in items {
        let (name, state) = state_of(item);
        ensure!(
            visible.insert(name, state).is_none(),
            "a name twice in a list"
        );
    }
    Ok(visible)
}

/// Name, and uid and text, of an object.
fn state_of(object: &Value) -> (String, (String, String)) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    let written = text(&object["spec"]["address"]["value"]);
    (text(&metadata["name"]), (text(&metadata["uid"]), written))
}
