//! Figures of all servers as Markdown tables of ratios.

mod writes;

use std::fmt::Write as _;

use crate::measure::Figure;

/// Resident memory at one time.
pub(crate) struct Memory {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// All figures of one server.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) figures: Vec<Figure>,
    pub(crate) memory: Vec<Memory>,
}

impl Side {
    /// Adds a figure, or replaces one of an earlier round that used more CPU time.
    pub(crate) fn add(&mut self, figure: Figure) {
        // The text in brackets differs between rounds.
        let kind = |name: &str| name.split(" (").next().map(str::to_owned);
        let mut formers = self.figures.iter_mut();
        let former = formers.find(|it| kind(&it.name) == kind(&figure.name));
        match former {
            Some(former) if former.cpu_ms() <= figure.cpu_ms() => {}
            Some(former) => *former = figure,
            None => self.figures.push(figure),
        }
    }
}

/// All servers of one run.
pub(crate) struct Report {
    pub(crate) ours: Side,
    pub(crate) peers: Vec<Side>,
}

/// Targets of the project: server CPU of the reference divided by that of ark-apiserver is at least
/// this.
const TARGETS: &[(&str, f64)] = &[
    ("create", 6.0),
    ("status patch", 6.0),
    ("get", 10.0),
    ("apply of one field, 2.6", 6.0),
    ("apply of nothing new, 2.6", 6.0),
    ("update with 10 managers, 2.6", 6.0),
    ("apply of one field, 64", 4.0),
    ("apply of nothing new, 64", 4.0),
    ("update with 10 managers, 64", 4.0),
    ("list whole", 25.0),
    ("list in pages", 50.0),
    ("Table whole", 8.0),
    ("watch, 1000 watchers", 5.0),
    ("resident with", 8.0),
    ("resident after", 10.0),
];

impl Report {
    /// A table for each peer, then the verdicts on the targets of writes.
    pub(crate) fn to_markdown(&self) -> String {
        let peers: Vec<Option<&Side>> = match &*self.peers {
            [] => vec![None],
            peers => peers.iter().map(Some).collect(),
        };
        let mut parts: Vec<String> = peers.iter().map(|peer| self.table(*peer)).collect();
        parts.extend(writes::section(&self.ours, &self.peers));
        parts.join("\n")
    }

    fn table(&self, peer: Option<&Side>) -> String {
        let mut text = String::new();
        let other = peer.map_or("–", |side| side.name);
        let _ = writeln!(
            text,
            "| operation | {} cpu ms | rate/s | p50 ms | p99 ms | {other} cpu ms | rate/s | p50 ms | p99 ms | ratio | target |",
            self.ours.name
        );
        let _ = writeln!(text, "|---|---|---|---|---|---|---|---|---|---|---|");
        for (index, ours) in self.ours.figures.iter().enumerate() {
            let theirs = peer.and_then(|side| side.figures.get(index));
            let _ = writeln!(text, "{}", figure_row(ours, theirs));
        }
        for (index, ours) in self.ours.memory.iter().enumerate() {
            let theirs = peer.and_then(|side| side.memory.get(index));
            let _ = writeln!(text, "{}", memory_row(ours, theirs));
        }
        text
    }
}

fn memory_row(ours: &Memory, theirs: Option<&Memory>) -> String {
    let mib = |memory: &Memory| format!("{:.0} MiB", memory.bytes as f64 / f64::from(1 << 20));
    let ratio = theirs.map(|theirs| theirs.bytes as f64 / ours.bytes as f64);
    format!(
        "| {} | {} | | | | {} | | | | {} | {} |",
        ours.name,
        mib(ours),
        theirs.map_or_else(String::new, mib),
        times(ratio),
        times(target(&ours.name)),
    )
}

fn figure_row(ours: &Figure, theirs: Option<&Figure>) -> String {
    let ratio = theirs.map(|theirs| theirs.cpu_ms() / ours.cpu_ms());
    let other = theirs.map_or_else(|| " | | | ".to_owned(), cells);
    let note = theirs
        .filter(|theirs| theirs.name != ours.name)
        .map_or_else(String::new, |theirs| format!(" / {}", theirs.name));
    format!(
        "| {}{note} | {} | {other} | {} | {} |",
        ours.name,
        cells(ours),
        times(ratio),
        times(target(&ours.name))
    )
}

fn cells(figure: &Figure) -> String {
    let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    format!(
        "{:.4} | {:.0} | {:.2} | {:.2}",
        figure.cpu_ms(),
        figure.rate(),
        ms(figure.p50),
        ms(figure.p99)
    )
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| match ratio {
        // Two builds of ark-apiserver differ by small factors.
        ..2.0 => format!("{ratio:.2} ×"),
        _ => format!("{ratio:.1} ×"),
    })
}

fn target(name: &str) -> Option<f64> {
    TARGETS
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map(|(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Figure, Report, Side};

    fn side(name: &'static str, cpu_seconds: f64) -> Side {
        let figure = Figure {
            name: "get, 64 clients".to_owned(),
            operations: 1_000,
            elapsed: Duration::from_secs(1),
            p50: Duration::from_millis(1),
            p99: Duration::from_millis(2),
            cpu_seconds,
        };
        Side {
            name,
            figures: vec![figure],
            memory: Vec::new(),
        }
    }

    #[test]
    fn row_has_both_servers_their_ratio_and_the_target() {
        let report = Report {
            ours: side("us", 0.1),
            peers: vec![side("them", 2.0), side("others", 1.0)],
        };
        let tables = report.to_markdown();
        let row = tables.lines().nth(2).expect("a row");
        assert_eq!(
            row,
            "| get, 64 clients | 0.1000 | 1000 | 1.00 | 2.00 | 2.0000 | 1000 | 1.00 | 2.00 | 20.0 × | 10.0 × |"
        );
        let row = tables.lines().last().expect("a row");
        assert!(row.ends_with(" | 10.0 × | 10.0 × |"), "{row}");
    }
}
