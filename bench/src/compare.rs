//! `ark-bench compare`: the same load on us and on our peers in one run, as ratios.

use std::sync::Arc;

use anyhow::Result;

use crate::client::Client;
use crate::measure::Figure;
use crate::measure::fanout::{Fanout, Pace};
use crate::measure::reads::LISTS;
use crate::measure::writes::{CLIENTS, Run, Write};
use crate::objects::{ALL, Factory, collection};
use crate::report::{Memory, Report, Side};
use crate::target::{Peer, Programs, Target};

/// Namespace of the measured objects; the reference knows it from the start.
const NAMESPACE: &str = "default";
/// Connections of the unary load; client-go uses one per process, and a cluster has several.
const CONNECTIONS: usize = 8;

/// What to measure and how much of it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Objects in the lists.
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    /// Size of an object as served, bytes.
    #[arg(long, default_value_t = 2600)]
    object_bytes: usize,
    /// Single-object operations per measurement.
    #[arg(long, default_value_t = 2_000)]
    operations: usize,
    /// Repetitions of a list.
    #[arg(long, default_value_t = 5)]
    lists: usize,
    /// Where we keep our objects.
    #[arg(long, default_value = "sqlite")]
    backend: Backend,
    /// Whom we are compared with; repeat it, or separate them by commas.
    #[arg(long, default_value = "etcd", value_delimiter = ',')]
    peer: Vec<Peer>,
    /// Leave the peers out.
    #[arg(long, conflicts_with = "peer")]
    only_ours: bool,
    /// Measure only what holds this text: `writes`, `lists`, `watch`.
    #[arg(long)]
    only: Option<String>,
}

/// Our storage drivers.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Backend {
    Sqlite,
    Postgres,
}

/// Measures all and prints the tables.
pub(crate) async fn run(options: &Options) -> Result<String> {
    let programs = Programs::beside_us()?;
    let scratch = tempfile::tempdir()?;
    let target = match options.backend {
        Backend::Sqlite => Target::ours(&programs, &scratch.path().join("data")),
        Backend::Postgres => Target::ours_on_postgres(&programs),
    };
    let ours = side(options, target?).await?;
    let mut peers = Vec::new();
    if !options.only_ours {
        for peer in &options.peer {
            peers.push(side(options, Target::peer(&programs, *peer)?).await?);
        }
    }
    Ok(Report { ours, peers }.to_markdown())
}

async fn side(options: &Options, target: Target) -> Result<Side> {
    let client = Arc::new(target.connect(CONNECTIONS).await?);
    let factory = Factory::calibrate(&client, NAMESPACE, options.object_bytes).await?;
    let mut side = Side {
        name: target.name,
        figures: Vec::new(),
        memory: Vec::new(),
    };
    let load = Load {
        options,
        target: &target,
        client,
        factory,
    };
    if load.wants("writes") {
        load.writes(&mut side.figures).await?;
    }
    load.fill().await?;
    side.memory
        .push(load.memory(&format!("resident with {} objects", options.objects))?);
    if load.wants("lists") {
        load.lists(&mut side.figures).await?;
    }
    if load.wants("watch") {
        load.watches(&mut side).await?;
    }
    target.stop()?;
    Ok(side)
}

/// One target under load.
struct Load<'a> {
    options: &'a Options,
    target: &'a Target,
    client: Arc<Client>,
    factory: Factory,
}

impl Load<'_> {
    fn wants(&self, part: &str) -> bool {
        self.options
            .only
            .as_deref()
            .is_none_or(|only| part.contains(only))
    }

    async fn writes(&self, figures: &mut Vec<Figure>) -> Result<()> {
        for concurrency in CLIENTS {
            // A single client is slow on a real disk; half as many operations tell as much.
            let count = if concurrency == 1 {
                self.options.operations / 2
            } else {
                self.options.operations
            };
            for kind in [Write::Create, Write::Update, Write::StatusPatch, Write::Get] {
                let run = Run {
                    kind,
                    prefix: format!("w{concurrency}"),
                    namespace: NAMESPACE.to_owned(),
                    count,
                    concurrency,
                };
                let figure = run
                    .measure(&self.client, &self.factory, &self.target.processes)
                    .await?;
                figures.push(figure);
            }
        }
        self.clear().await
    }

    /// Removes what the single-object operations left.
    async fn clear(&self) -> Result<()> {
        let path = collection(NAMESPACE);
        self.client
            .write(
                0,
                http::Method::DELETE,
                &path,
                "application/json",
                bytes::Bytes::new(),
            )
            .await
            .map(|_| ())
    }

    /// Creates the objects that lists and memory are measured with.
    async fn fill(&self) -> Result<()> {
        let run = Run {
            kind: Write::Create,
            prefix: "query".to_owned(),
            namespace: NAMESPACE.to_owned(),
            count: self.options.objects,
            concurrency: 64,
        };
        run.perform(&self.client, &self.factory).await.map(|_| ())
    }

    async fn lists(&self, figures: &mut Vec<Figure>) -> Result<()> {
        for list in LISTS {
            let (objects, times) = (self.options.objects, self.options.lists);
            let processes = &self.target.processes;
            figures.push(
                list.measure(&self.client, ALL, objects, times, processes)
                    .await?,
            );
        }
        Ok(())
    }

    async fn watches(&self, side: &mut Side) -> Result<()> {
        for (watchers, rate, seconds) in [(1_usize, 200, 10), (100, 200, 10), (1_000, 20, 10)] {
            let lanes = watchers.div_ceil(50);
            let watch_client = Arc::new(self.target.connect(lanes).await?);
            let fanout = Fanout {
                namespace: "kube-public".to_owned(),
                watchers,
                rate,
                writes: rate * seconds,
                first: Pace::Full,
            };
            let processes = &self.target.processes;
            let outcome = fanout
                .measure(&self.client, &watch_client, &self.factory, processes)
                .await?;
            let mut figure = outcome.figure.clone();
            let complete = outcome.ensure_complete(0, fanout.writes);
            let verdict =
                complete.map_or_else(|error| format!("{error}"), |()| "complete".to_owned());
            figure.name = format!(
                "{} ({:.0}/s taken, {verdict})",
                figure.name, outcome.write_rate
            );
            side.figures.push(figure);
        }
        side.memory
            .push(self.memory("resident after 1,000 watchers")?);
        Ok(())
    }

    fn memory(&self, name: &str) -> Result<Memory> {
        Ok(Memory {
            name: name.to_owned(),
            bytes: self.target.processes.resident_bytes()?,
        })
    }
}
