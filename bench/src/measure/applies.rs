//! Server-side apply, and updates of objects that have managers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Figure, Stopwatch};
use crate::client::Client;
use crate::objects::{Factory, collection, name};
use crate::processes::Processes;

/// Concurrent clients.
const CLIENTS: usize = 16;
/// Managers of each object before the measurement.
const MANAGERS: usize = 10;
/// Annotations of a large object: most large objects have many fields.
const ANNOTATIONS: usize = 400;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json";

/// A kind of write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    /// An apply that changes one field.
    Field,
    /// An apply that changes nothing.
    Nothing,
    /// A PUT that changes one field.
    Update,
}

/// A row of the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    name: &'static str,
    write: Write,
    large: bool,
}

/// All rows.
pub(crate) const ROWS: [Row; 6] = [
    Row::new("apply of one field, 2.6 KiB", Write::Field, false),
    Row::new("apply of nothing new, 2.6 KiB", Write::Nothing, false),
    Row::new("update with 10 managers, 2.6 KiB", Write::Update, false),
    Row::new("apply of one field, 64 KiB", Write::Field, true),
    Row::new("apply of nothing new, 64 KiB", Write::Nothing, true),
    Row::new("update with 10 managers, 64 KiB", Write::Update, true),
];

/// Objects and requests of a measurement.
struct Writes {
    client: Arc<Client>,
    path: String,
    prefix: String,
    /// Bodies by number.
    bodies: Vec<Bytes>,
    write: Write,
    next: AtomicUsize,
}

impl Row {
    const fn new(name: &'static str, write: Write, large: bool) -> Self {
        Self { name, write, large }
    }

    /// Creates `count` objects with their managers, and measures one write to each.
    pub(crate) async fn measure(
        self,
        client: &Arc<Client>,
        factory: &Factory,
        namespace: &str,
        count: usize,
        processes: &Processes,
    ) -> Result<Figure> {
        let size = if self.large { "large" } else { "small" };
        let kind = format!("{:?}", self.write).to_lowercase();
        let prefix = format!("apply-{size}-{kind}");
        let path = collection(namespace);
        let mut creates = Vec::with_capacity(count);
        for number in 0..count {
            creates.push(object(factory, &name(&prefix, number), number, self.large)?);
        }
        let shared = (client, path.as_str(), prefix.as_str());
        prepare(shared, creates).await?;
        let mut bodies = Vec::with_capacity(count);
        for number in 0..count {
            bodies.push(self.body(shared, number).await?);
        }
        let writes = Arc::new(Writes {
            client: Arc::clone(client),
            path,
            prefix,
            bodies,
            write: self.write,
            next: AtomicUsize::new(0),
        });
        if self.write == Write::Nothing {
            run(&writes).await?;
            writes.next.store(0, Ordering::Relaxed);
        }
        let stopwatch = Stopwatch::start(processes)?;
        let latencies = run(&writes).await?;
        let name = format!("{}, {CLIENTS} clients", self.name);
        stopwatch.stop(name, count as u64, latencies)
    }

    async fn body(
        self,
        (client, path, prefix): (&Arc<Client>, &str, &str),
        number: usize,
    ) -> Result<Bytes> {
        let name = name(prefix, number);
        if self.write != Write::Update {
            let config = json!({
                "apiVersion": "ark.mckinsey.com/v1alpha1",
                "kind": "Query",
                "metadata": {"name": name},
                "spec": {"sessionId": format!("session-{number}")},
            });
            return Ok(config.to_string().into());
        }
        let stored = client.get(number, &format!("{path}/{name}")).await?;
        let mut object: Value = serde_json::from_slice(&stored)?;
        object["spec"]["sessionId"] = format!("session-{number}").into();
        Ok(object.to_string().into())
    }
}

/// A Query of 2.6 or 64 KiB.
fn object(factory: &Factory, name: &str, number: usize, large: bool) -> Result<Bytes> {
    let object = factory.query(name, number);
    if !large {
        return Ok(object);
    }
    let mut object: Value = serde_json::from_slice(&object)?;
    for number in 0..ANNOTATIONS {
        let value = "a value of an annotation ".repeat(6);
        object["metadata"]["annotations"][format!("bench.example.com/{number:04}")] = value.into();
    }
    Ok(object.to_string().into())
}

/// Creates the objects, each written by all managers.
async fn prepare(
    (client, path, prefix): (&Arc<Client>, &str, &str),
    creates: Vec<Bytes>,
) -> Result<()> {
    let creates = Arc::new(creates);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for lane in 0..CLIENTS {
        let (client, path, prefix) = (Arc::clone(client), path.to_owned(), prefix.to_owned());
        let (creates, next) = (Arc::clone(&creates), Arc::clone(&next));
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(body) = creates.get(number) else {
                    return anyhow::Ok(());
                };
                client
                    .write(lane, Method::POST, &path, JSON, body.clone())
                    .await?;
                let one = format!("{path}/{}", name(&prefix, number));
                for manager in 1..MANAGERS {
                    let patch = json!({"metadata": {"labels": {format!("l{manager}"): "x"}}});
                    let one = format!("{one}?fieldManager=manager-{manager}");
                    let body = patch.to_string().into();
                    client.write(lane, Method::PATCH, &one, MERGE, body).await?;
                }
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.context("a worker panicked")??;
    }
    Ok(())
}

async fn run(writes: &Arc<Writes>) -> Result<Vec<Duration>> {
    let mut workers = JoinSet::new();
    for lane in 0..CLIENTS {
        let writes = Arc::clone(writes);
        workers.spawn(async move { writes.work(lane).await });
    }
    let mut latencies = Vec::new();
    while let Some(done) = workers.join_next().await {
        latencies.extend(done.context("a worker panicked")??);
    }
    Ok(latencies)
}

impl Writes {
    async fn work(&self, lane: usize) -> Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(body) = self.bodies.get(number) else {
                return Ok(latencies);
            };
            let one = format!("{}/{}", self.path, name(&self.prefix, number));
            let (method, one, kind) = match self.write {
                Write::Update => (Method::PUT, one, JSON),
                Write::Field | Write::Nothing => {
                    let query = "fieldManager=applier&force=true";
                    (Method::PATCH, format!("{one}?{query}"), APPLY)
                }
            };
            let started = Instant::now();
            self.client
                .write(lane, method, &one, kind, body.clone())
                .await?;
            latencies.push(started.elapsed());
        }
    }
}
