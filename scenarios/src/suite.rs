//! Runs many scenarios on one or two engines.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use regex::Regex;

use crate::engine::Engine;
use crate::report::{Verdict, print_line};
use crate::repository::{Repository, files_below};
use crate::run::{Record, play};
use crate::scenario::Scenario;
use crate::{diff, normalise};

/// Timeout of a scenario on a busy machine.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(180);

/// Loads the scenarios of `files`, or else all of the repository, whose names match `filter`.
///
/// # Errors
/// If a file is malformed or no scenario remains.
pub fn load(
    repository: &Repository,
    files: &[PathBuf],
    filter: Option<&Regex>,
) -> Result<Vec<Scenario>> {
    let root = repository
        .scenarios()
        .canonicalize()
        .unwrap_or_else(|_| repository.scenarios());
    let files = match files {
        [] => files_below(&root, &["yaml"])?,
        given => given
            .iter()
            .map(|f| f.canonicalize())
            .collect::<Result<_, _>>()?,
    };
    let mut scenarios = Vec::new();
    for file in files {
        scenarios.push(Scenario::load(&root, &file)?);
    }
    scenarios.retain(|s| filter.is_none_or(|pattern| pattern.is_match(&s.name)));
    ensure!(
        !scenarios.is_empty(),
        "no scenario matches the files and the filter"
    );
    Ok(scenarios)
}

/// Runs each scenario on all `engines`, `jobs` at a time, and prints each verdict. With `print` the
/// transcripts of the first engine are printed.
pub async fn run_all(
    engines: &[Engine],
    scenarios: &[Scenario],
    jobs: usize,
    print: bool,
) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut playing = futures_util::stream::iter(scenarios)
        .map(|scenario| run_scenario(engines, scenario, print))
        .buffer_unordered(jobs.max(1));
    while let Some(verdict) = playing.next().await {
        match &verdict.failure {
            None => print_line(&format!(
                "ok     {} ({:.1} s)",
                verdict.name,
                verdict.duration.as_secs_f64()
            )),
            Some(why) => print_line(&format!("FAILED {}\n{why}", verdict.name)),
        }
        verdicts.push(verdict);
    }
    verdicts.sort_by(|a, b| a.name.cmp(&b.name));
    verdicts
}

/// A difference must occur twice. kube-apiserver serves updates and reads of version 0 from its
/// watch cache, which may be stale for a moment; the response then differs from the usual one.
async fn run_scenario(engines: &[Engine], scenario: &Scenario, print: bool) -> Verdict {
    let began = Instant::now();
    let mut failure = run_once(engines, scenario, print).await;
    if let Some(why) = &failure {
        print_line(&format!("retry  {}\n{why}", scenario.name));
        // A new namespace, because the first attempt may have left objects.
        let second = Scenario {
            name: format!("{} again", scenario.name),
            ..scenario.clone()
        };
        failure = run_once(engines, &second, print).await;
    }
    Verdict {
        name: scenario.name.clone(),
        duration: began.elapsed(),
        failure,
    }
}

async fn run_once(engines: &[Engine], scenario: &Scenario, print: bool) -> Option<String> {
    match tokio::time::timeout(SCENARIO_TIMEOUT, compare(engines, scenario, print)).await {
        Ok(Ok(failure)) => failure,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(_) => Some(format!("timeout after {SCENARIO_TIMEOUT:?}")),
    }
}

async fn compare(engines: &[Engine], scenario: &Scenario, print: bool) -> Result<Option<String>> {
    let plays = engines.iter().map(|engine| async move {
        let records: Vec<Record> = play(engine, scenario)
            .await
            .with_context(|| format!("on {}", engine.name))?;
        normalise::transcript(&records, &scenario.mask)
    });
    let transcripts = futures_util::future::join_all(plays).await;
    let mut done = Vec::new();
    let mut failures = Vec::new();
    for transcript in transcripts {
        match transcript {
            Ok(transcript) => done.push(transcript),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    if let ([first, ..], true) = (&done[..], print) {
        first
            .iter()
            .for_each(|entry| print_line(&diff::pretty(Some(entry))));
    }
    if let [first, second] = &done[..] {
        failures.extend(diff::transcripts(first, second));
    }
    Ok((!failures.is_empty()).then(|| failures.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::load;
    use crate::repository::Repository;

    #[test]
    fn every_file_is_a_scenario_with_a_unique_name() {
        let mut names: Vec<String> = load(&Repository::find().unwrap(), &[], None)
            .unwrap()
            .into_iter()
            .map(|scenario| scenario.name)
            .collect();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        // The repository has more than this many scenarios; fewer means that files are not found.
        assert!(count >= 150, "{count} scenarios");
    }
}
