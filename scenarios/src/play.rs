//! Random histories of writes by several managers, played on a real kube-apiserver and on
//! ark-apiserver. Responses and managers must be equal.
//!
//! The kinds are random as well; they derive from the seed. The first difference is shrunk to the
//! fewest writes and the smallest bodies that show it.

mod history;
mod kind;
mod player;
mod values;
mod versions;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::Value;

use self::history::History;
use self::kind::Kind;
use crate::diff;
use crate::engine::Engine;
use crate::report::print_line;

/// Kinds per run: each costs kube-apiserver about 10 MiB.
const KINDS: usize = 24;
/// Histories in flight.
const JOBS: usize = 4;
/// Plays of a history before a difference counts. kube-apiserver serves updates from a cache that
/// may lag, and some of its outcomes depend on the random order of Go's maps: of five fields with
/// errors, it may report any.
const ATTEMPTS: usize = 40;
/// Time for shrinking.
const SHRINK_TIMEOUT: Duration = Duration::from_secs(60);

/// The random kinds of a seed.
#[derive(Debug)]
pub struct Kinds(Vec<Kind>);

/// The outcome of a run.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// Histories.
    pub histories: usize,
    /// Histories whose difference did not repeat.
    pub unstable: usize,
    /// Responses.
    pub responses: usize,
    /// Responses below 300.
    pub successes: usize,
    /// Responses of 409.
    pub conflicts: usize,
    /// The smallest history that differs, and its difference.
    pub difference: Option<String>,
}

/// One history on both engines.
struct Outcome {
    responses: Vec<Value>,
    difference: Option<String>,
}

// === impl Kinds ===

impl Kinds {
    /// The kinds of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self(
            (0..KINDS)
                .map(|index| Kind::random(&mut rng, index))
                .collect(),
        )
    }

    /// Writes the definitions into a folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        for kind in &self.0 {
            let file = folder.join(format!("{}.yaml", kind.plural()));
            let text = serde_json::to_string_pretty(&kind.manifest())?;
            std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        }
        Ok(())
    }
}

// === impl Played ===

impl Played {
    fn add(&mut self, outcome: &Outcome) {
        self.histories += 1;
        for response in &outcome.responses {
            let status = response["status"].as_u64().unwrap_or_default();
            self.responses += 1;
            self.successes += usize::from(status < 300);
            self.conflicts += usize::from(status == 409);
        }
    }

    /// Fails if the histories prove little.
    ///
    /// # Errors
    /// If few requests succeeded or conflicted, or many histories were unstable.
    pub fn check(&self) -> Result<()> {
        ensure!(self.histories > 0, "no history was played");
        ensure!(
            self.successes * 2 > self.responses
                && self.conflicts * 100 > self.responses
                && self.unstable * 20 <= self.histories,
            "the histories prove little: {self:?}"
        );
        Ok(())
    }
}

/// Plays histories until the time is over, or a difference is found.
///
/// # Errors
/// If a server does not respond.
pub async fn play(
    (reference, ours): (&Engine, &Engine),
    kinds: &Kinds,
    seed: u64,
    time: Duration,
) -> Result<Played> {
    for engine in [reference, ours] {
        engine.prepare_namespace(player::NAMESPACE).await?;
    }
    let end = Instant::now() + time;
    let mut rng = StdRng::seed_from_u64(seed.wrapping_add(1));
    let numbered = (0_u64..).take_while(|_| Instant::now() < end);
    let histories = numbered.filter_map(|number| {
        let kind = kinds.0.choose(&mut rng)?;
        Some((number, History::random(&mut rng, kind)))
    });
    let mut outcomes = futures_util::stream::iter(histories)
        .map(|(number, history)| async move {
            let outcome = confirmed((reference, ours), &history, number).await;
            (history, outcome)
        })
        .buffer_unordered(JOBS);
    let mut played = Played::default();
    while let Some((history, outcome)) = outcomes.next().await {
        let (outcome, stable) = outcome?;
        played.add(&outcome);
        played.unstable += usize::from(!stable);
        if let Some(difference) = outcome.difference {
            print_line(&format!("difference, shrinking:\n{difference}"));
            drop(outcomes);
            played.difference = Some(shrink((reference, ours), history, difference).await?);
            return Ok(played);
        }
    }
    Ok(played)
}

/// A difference counts if it repeats. Also returns whether the first attempt was the last.
async fn confirmed(
    engines: (&Engine, &Engine),
    history: &History,
    number: u64,
) -> Result<(Outcome, bool)> {
    let mut attempt = 0;
    loop {
        let outcome = once(engines, history, &format!("n{number}-{attempt}")).await?;
        attempt += 1;
        if outcome.difference.is_none() || attempt == ATTEMPTS {
            let stable = attempt == 1 || outcome.difference.is_some();
            return Ok((outcome, stable));
        }
    }
}

async fn once(engines: (&Engine, &Engine), history: &History, name: &str) -> Result<Outcome> {
    let (theirs, ours) = tokio::join!(
        player::play(engines.0, history, name),
        player::play(engines.1, history, name)
    );
    let (mut theirs, mut ours) = (theirs?, ours?);
    versions::number(&history.steps(), &mut theirs, &mut ours);
    Ok(Outcome {
        difference: diff::transcripts(&theirs, &ours),
        responses: theirs,
    })
}

/// Drops writes and parts of bodies while the responses differ.
async fn shrink(
    engines: (&Engine, &Engine),
    mut history: History,
    mut difference: String,
) -> Result<String> {
    let end = Instant::now() + SHRINK_TIMEOUT;
    let mut number = 0_usize;
    let mut progress = true;
    while progress {
        progress = false;
        for smaller in history.smaller() {
            if Instant::now() >= end {
                break;
            }
            number += 1;
            let outcome = once(engines, &smaller, &format!("s{number}")).await?;
            if let Some(shown) = outcome.difference {
                (history, difference, progress) = (smaller, shown, true);
                break;
            }
        }
    }
    let mut text = format!("{difference}\nkind: {}\n", history.kind.manifest());
    for write in history.steps() {
        let path = write.path(&history.kind, "${NS}", "a");
        let (method, content_type) = (write.verb.method(), write.verb.content_type());
        let verb = write.verb;
        let _ = writeln!(
            text,
            "- {{request: '{method} {path}', headers: {{Content-Type: {content_type}}}, body: {}}} # {verb:?}",
            write.body
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::history::History;
    use super::kind::Kind;

    #[test]
    fn a_seed_determines_kinds_and_histories() {
        let text = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let kind = Kind::random(&mut rng, 0);
            let history = History::random(&mut rng, &kind);
            format!("{history:?}")
        };
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }

    #[test]
    fn smaller_histories_lose_one_write_or_one_part() {
        let mut rng = StdRng::seed_from_u64(3);
        let kind = Kind::random(&mut rng, 0);
        let history = History::random(&mut rng, &kind);
        let smaller = history.smaller();
        assert!(smaller.len() > history.writes.len());
        let shorter = |less: &&History| less.writes.len() + 1 == history.writes.len();
        assert_eq!(smaller.iter().filter(shorter).count(), history.writes.len());
    }
}
