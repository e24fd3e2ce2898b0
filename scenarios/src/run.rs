//! Runs a scenario on one engine.

pub mod capture;
pub mod expect;
pub mod kubectl;
pub mod request;
pub mod variables;
pub mod words;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::{BoxFuture, FutureExt as _, try_join_all};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::capture::{Capture, Until, Watched};
use self::variables::Variables;
use crate::audit::ID_PREFIX;
use crate::engine::Engine;
use crate::scenario::{Ready, Scenario, Step};

type Task = BoxFuture<'static, ()>;

/// Default timeout of a step.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Result of one step.
#[derive(Clone, Debug)]
pub struct Record {
    /// The step's title. Variables are not filled in, because their values differ between engines.
    pub title: String,
    /// The step's description, which selects the comparison.
    pub step: Step,
    /// The response.
    pub capture: Capture,
}

/// Runs `scenario` in its own namespace.
///
/// # Errors
/// If a step cannot be run or misses its expectation; the message names the step.
pub async fn play(engine: &Engine, scenario: &Scenario) -> Result<Vec<Record>> {
    let namespace = namespace(&scenario.name);
    engine.prepare_namespace(&namespace).await?;
    let folder = tempfile::Builder::new().prefix("scenario-").tempdir()?;
    let mut stage = Stage {
        engine,
        variables: Variables::new(&namespace),
        namespace,
        folder,
        background: HashMap::new(),
        tasks: JoinSet::new(),
        requests: AtomicUsize::new(0),
    };
    stage.write_files(scenario)?;
    let mut records = Vec::new();
    for step in &scenario.setup {
        stage
            .perform(step, &mut Vec::new())
            .await
            .context("setup")?;
    }
    for (index, step) in scenario.steps.iter().enumerate() {
        let played = stage.perform(step, &mut records).await;
        played.with_context(|| format!("step {}", index + 1))?;
    }
    stage.tasks.shutdown().await;
    Ok(records)
}

/// A namespace derived from the scenario's name, equal on all engines.
fn namespace(scenario: &str) -> String {
    let name: String = scenario
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    name.chars()
        .take(60)
        .collect::<String>()
        .trim_matches('-')
        .to_owned()
}

struct Stage<'a> {
    engine: &'a Engine,
    namespace: String,
    variables: Variables,
    folder: TempDir,
    background: HashMap<String, (Step, Watched)>,
    tasks: JoinSet<()>,
    /// Requests so far, for their `Audit-ID`.
    requests: AtomicUsize,
}

impl Stage<'_> {
    fn write_files(&self, scenario: &Scenario) -> Result<()> {
        let kubeconfig = self.folder.path().join("kubeconfig");
        self.engine.kubeconfig.save(&kubeconfig, &self.namespace)?;
        let work = self.folder.path().join("work");
        std::fs::create_dir(&work)?;
        for (name, content) in &scenario.files {
            let text = match content.as_str() {
                Some(text) => self.variables.fill(text)?,
                None => serde_json::to_string_pretty(&self.variables.fill_value(content)?)?,
            };
            let path = work.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, text)?;
        }
        Ok(())
    }

    async fn perform(&mut self, step: &Step, records: &mut Vec<Record>) -> Result<()> {
        for index in 0..step.repeat.unwrap_or(1) {
            if step.repeat.is_some() {
                self.variables.set("i", &index.to_string());
            }
            self.once(step, records)
                .await
                .with_context(|| step.title())?;
        }
        Ok(())
    }

    async fn once(&mut self, step: &Step, records: &mut Vec<Record>) -> Result<()> {
        if let Some(steps) = &step.parallel {
            let begun = try_join_all(steps.iter().map(|step| self.begin(step))).await?;
            let (watched, tasks): (Vec<_>, Vec<_>) = begun.into_iter().unzip();
            for task in tasks {
                self.tasks.spawn(task);
            }
            for (step, watched) in steps.iter().zip(watched) {
                records.push(self.finish(step, watched).await?);
            }
            return Ok(());
        }
        if let Some(name) = &step.collect {
            let (begun, watched) = self
                .background
                .remove(name)
                .context("no background step has this name")?;
            let mut record = self.finish(step, watched).await?;
            record.title = format!("collect {}", begun.title());
            records.push(record);
            return Ok(());
        }
        let (watched, task) = self.begin(step).await?;
        self.tasks.spawn(task);
        let Some(name) = &step.start else {
            records.push(self.finish(step, watched).await?);
            return Ok(());
        };
        self.wait_until_active(step, watched.clone()).await?;
        self.background
            .insert(name.clone(), (step.clone(), watched));
        Ok(())
    }

    /// Starts a request or command. A request counts as started when the head of its response has
    /// arrived.
    fn begin<'b>(&'b self, step: &'b Step) -> BoxFuture<'b, Result<(Watched, Task)>> {
        async move {
            let (sink, watched) = watch::channel(Capture::default());
            let task = if let Some(request) = &step.request {
                let (engine, variables) = (self.engine, &self.variables);
                let mut request =
                    request::prepare(engine, variables, &self.namespace, step, request)?;
                let number = self.requests.fetch_add(1, Ordering::Relaxed);
                request.identify(&format!("{ID_PREFIX}{}/{number:04}", self.namespace));
                let response =
                    tokio::time::timeout(step_timeout(step), request::send(request, &sink));
                request::receive(
                    response.await.context("no response before the timeout")??,
                    sink,
                )
                .boxed()
            } else {
                let arguments = step
                    .kubectl
                    .as_deref()
                    .context("the step has neither request nor kubectl")?;
                let folder = self.folder.path();
                let (child, stdin) =
                    kubectl::start(self.engine, &self.variables, folder, step, arguments)?;
                kubectl::receive(child, stdin, sink).boxed()
            };
            Ok((watched, task))
        }
        .boxed()
    }

    /// Waits until a background step is active.
    async fn wait_until_active(&self, step: &Step, mut watched: Watched) -> Result<()> {
        let begun = |capture: &Capture| match &step.ready {
            None => true,
            Some(Ready::Lines(count)) => capture.lines() >= *count,
            Some(Ready::Stderr(text)) => String::from_utf8_lossy(&capture.err).contains(text),
        };
        let settled = watched.wait_for(|capture| capture.ended || begun(capture));
        tokio::time::timeout(step_timeout(step), settled)
            .await
            .context("background step not started before the timeout")??;
        Ok(())
    }

    async fn finish(&mut self, step: &Step, watched: Watched) -> Result<Record> {
        let until = step.events.or(step.lines).map_or(Until::End, Until::Lines);
        let capture = capture::wait(watched, until, step_timeout(step)).await?;
        expect::check(&step.expect, &self.variables, &capture)?;
        for (name, source) in &step.save {
            self.variables.save(name, source, &capture)?;
        }
        Ok(Record {
            title: step.title(),
            step: step.clone(),
            capture,
        })
    }
}

fn step_timeout(step: &Step) -> Duration {
    step.timeout.map_or(STEP_TIMEOUT, Duration::from_secs)
}
