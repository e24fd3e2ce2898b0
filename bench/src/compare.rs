//! `ark-bench compare`: the same load on ark-apiserver and its peers in one run, as ratios.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use crate::client::Client;
use crate::measure::applies::{ROWS, Row};
use crate::measure::fanout::{Fanout, Pace};
use crate::measure::reads::{LISTS, List};
use crate::measure::writes::{CLIENTS, Run, Write};
use crate::objects::{ALL, Factory, collection};
use crate::report::{Memory, Report, Side};
use crate::target::{Peer, Programs, Target};

/// Namespace of the measured objects; it exists on the reference from the start.
const NAMESPACE: &str = "default";
/// Connections of the unary load. client-go uses one per process, and a cluster runs several.
const CONNECTIONS: usize = 8;

/// Servers and load of a comparison.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Objects in the lists.
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    /// Size of an object as served, in bytes.
    #[arg(long, default_value_t = 2600)]
    object_bytes: usize,
    /// Single-object operations per measurement.
    #[arg(long, default_value_t = 2_000)]
    operations: usize,
    /// Repetitions of each list.
    #[arg(long, default_value_t = 5)]
    lists: usize,
    /// Storage driver of ark-apiserver.
    #[arg(long, default_value = "sqlite")]
    backend: Backend,
    /// Servers to compare with; repeat the flag, or separate them by commas.
    #[arg(long, default_value = "etcd", value_delimiter = ',')]
    peer: Vec<Peer>,
    /// Measure only ark-apiserver, without peers.
    #[arg(long, conflicts_with = "peer")]
    only_ours: bool,
    /// Folder of another build of ark-apiserver, to be compared as well.
    #[arg(long)]
    before: Option<PathBuf>,
    /// Rounds of all measurements. Each figure reports the round with the least CPU time, which
    /// other processes of the machine disturbed least.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Measure only the parts whose name contains this text: `writes`, `applies`, `lists`,
    /// `watch`.
    #[arg(long)]
    only: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Backend {
    Sqlite,
    Postgres,
}

/// Runs all measurements and prints the tables.
///
/// The servers run side by side and take turns at each measurement, so that a phase in which a
/// shared machine is slow affects all of them.
pub async fn run(options: &Options) -> Result<String> {
    let programs = Programs::of_this_build()?;
    let scratch = tempfile::tempdir()?;
    let start = |programs: &Programs, folder: &str| match options.backend {
        Backend::Sqlite => Target::ours(programs, &scratch.path().join(folder)),
        Backend::Postgres => Target::ours_on_postgres(programs),
    };
    let ours = start(&programs, "data")?;
    let mut loads = vec![Load::new(options, ours).await?];
    if let Some(folder) = &options.before {
        let before = start(&Programs::of(folder), "data-before")?;
        loads.push(Load::new(options, before).await?);
    }
    if !options.only_ours {
        for peer in &options.peer {
            loads.push(Load::new(options, Target::peer(&programs, *peer)?).await?);
        }
    }
    for _ in 0..options.rounds_of("writes") {
        for clients in CLIENTS {
            for kind in [Write::Create, Write::Update, Write::StatusPatch, Write::Get] {
                for load in &mut loads {
                    load.write(kind, clients).await?;
                }
            }
        }
        for load in &mut loads {
            load.clear().await?;
        }
    }
    for _ in 0..options.rounds_of("applies") {
        for row in ROWS {
            for load in &mut loads {
                load.apply(row).await?;
            }
        }
        for load in &mut loads {
            load.clear().await?;
        }
    }
    for load in &mut loads {
        load.fill().await?;
    }
    for load in &mut loads {
        load.memory(&format!("resident with {} objects", options.objects))?;
    }
    for _ in 0..options.rounds_of("lists") {
        for list in LISTS {
            for load in &mut loads {
                load.list(list).await?;
            }
        }
    }
    for _ in 0..options.rounds_of("watch") {
        for (watchers, rate) in [(1, 200), (100, 200), (1_000, 20)] {
            for load in &mut loads {
                load.watch(watchers, rate).await?;
            }
        }
    }
    if options.rounds_of("watch") > 0 {
        for load in &mut loads {
            load.memory("resident after 1,000 watchers")?;
        }
    }
    let mut sides = Vec::new();
    for load in loads {
        load.target.stop()?;
        sides.push(load.side);
    }
    let ours = sides.remove(0);
    let peers = sides;
    Ok(Report { ours, peers }.to_markdown())
}

impl Options {
    /// Rounds of a part; 0 if `--only` excludes it.
    fn rounds_of(&self, part: &str) -> usize {
        let wanted = self.only.as_deref().is_none_or(|only| part.contains(only));
        if wanted { self.rounds } else { 0 }
    }
}

/// One target under load, and its figures.
struct Load<'a> {
    options: &'a Options,
    target: Target,
    client: Arc<Client>,
    factory: Factory,
    side: Side,
}

impl<'a> Load<'a> {
    async fn new(options: &'a Options, target: Target) -> Result<Self> {
        let client = Arc::new(target.connect(CONNECTIONS).await?);
        let factory = Factory::calibrate(&client, NAMESPACE, options.object_bytes).await?;
        let side = Side {
            name: target.name,
            figures: Vec::new(),
            memory: Vec::new(),
        };
        Ok(Self {
            options,
            target,
            client,
            factory,
            side,
        })
    }

    /// Reconnects: kube-apiserver closes connections that were idle for 90 s, such as during the
    /// turns of the other targets.
    async fn connect(&mut self) -> Result<()> {
        self.client = Arc::new(self.target.connect(CONNECTIONS).await?);
        Ok(())
    }

    async fn write(&mut self, kind: Write, clients: usize) -> Result<()> {
        self.connect().await?;
        // A single client is slow on a real disk; half as many operations are significant as well.
        let count = if clients == 1 {
            self.options.operations / 2
        } else {
            self.options.operations
        };
        let run = Run {
            kind,
            prefix: format!("w{clients}"),
            namespace: NAMESPACE.to_owned(),
            count,
            concurrency: clients,
        };
        let processes = &self.target.processes;
        let figure = run.measure(&self.client, &self.factory, processes).await?;
        self.side.add(figure);
        Ok(())
    }

    async fn apply(&mut self, row: Row) -> Result<()> {
        self.connect().await?;
        let count = self.options.operations / 4;
        let processes = &self.target.processes;
        let figure = row.measure(&self.client, &self.factory, NAMESPACE, count, processes);
        let figure = figure.await?;
        self.side.add(figure);
        Ok(())
    }

    /// Deletes the objects of the single-object operations.
    async fn clear(&mut self) -> Result<()> {
        self.connect().await?;
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

    /// Creates the objects of the list and memory measurements.
    async fn fill(&mut self) -> Result<()> {
        self.connect().await?;
        let run = Run {
            kind: Write::Create,
            prefix: "query".to_owned(),
            namespace: NAMESPACE.to_owned(),
            count: self.options.objects,
            concurrency: 64,
        };
        run.perform(&self.client, &self.factory).await
    }

    async fn list(&mut self, list: &List) -> Result<()> {
        self.connect().await?;
        let (objects, times) = (self.options.objects, self.options.lists);
        let processes = &self.target.processes;
        let figure = list.measure(&self.client, ALL, objects, times, processes);
        self.side.add(figure.await?);
        Ok(())
    }

    /// Measures ten seconds of watches at `rate` writes per second.
    async fn watch(&mut self, watchers: usize, rate: usize) -> Result<()> {
        self.connect().await?;
        let lanes = watchers.div_ceil(50);
        let watch_client = Arc::new(self.target.connect(lanes).await?);
        let fanout = Fanout {
            namespace: "kube-public".to_owned(),
            watchers,
            rate,
            writes: rate * 10,
            first: Pace::Full,
        };
        let processes = &self.target.processes;
        let outcome = fanout
            .measure(&self.client, &watch_client, &self.factory, processes)
            .await?;
        let mut figure = outcome.figure.clone();
        let complete = outcome.ensure_complete(0, fanout.writes);
        let verdict = complete.map_or_else(|error| format!("{error}"), |()| "complete".to_owned());
        figure.name = format!(
            "{} ({:.0}/s taken, {verdict})",
            figure.name, outcome.write_rate
        );
        self.side.add(figure);
        Ok(())
    }

    fn memory(&mut self, name: &str) -> Result<()> {
        self.side.memory.push(Memory {
            name: name.to_owned(),
            bytes: self.target.processes.resident_bytes()?,
        });
        Ok(())
    }
}
