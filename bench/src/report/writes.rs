//! Throughput and latency of writes, and the verdicts on their targets.

use std::fmt::Write as _;

use super::Side;
use crate::measure::Figure;
use crate::measure::writes::{CLIENTS, Write};
use crate::target::Peer;

/// Kinds of write.
const WRITES: [Write; 3] = [Write::Create, Write::Update, Write::StatusPatch];
/// Minimum of ark-apiserver's writes per second with the most clients, divided by those of kine and
/// PostgreSQL.
const RATE_TARGET: f64 = 5.0;
/// Writes per second of the first-generation server on PostgreSQL, with any number of clients.
const FIRST_GENERATION: f64 = 108.0;
/// Minimum of ark-apiserver's writes per second with the most clients, divided by
/// [`FIRST_GENERATION`].
const FIRST_GENERATION_TARGET: f64 = 20.0;

/// The table and the verdicts; `None` if writes were not measured.
pub(super) fn section(ours: &Side, peers: &[Side]) -> Option<String> {
    ours.figure(Write::Create, 1)?;
    let mut text = String::new();
    let [one, some, many] = CLIENTS;
    let _ = writeln!(
        text,
        "| server | write | /s, {one} client | /s, {some} clients | /s, {many} clients | p50 ms, {one} client |"
    );
    let _ = writeln!(text, "|---|---|---|---|---|---|");
    for side in std::iter::once(ours).chain(peers) {
        for write in WRITES {
            let figures = CLIENTS.map(|clients| side.figure(write, clients));
            let rates = figures.map(|figure| figure.map_or(0.0, Figure::rate));
            let _ = writeln!(
                text,
                "| {} | {} | {:.0} | {:.0} | {:.0} | {:.2} |",
                side.name,
                write.name(),
                rates[0],
                rates[1],
                rates[2],
                figures[0].map_or(0.0, p50_ms),
            );
        }
    }
    let peer = |peer: Peer| peers.iter().find(|side| side.name == peer.name());
    let verdicts = [
        peer(Peer::KinePostgres).map(|theirs| throughput(ours, theirs, many)),
        // The first-generation server stored its objects in PostgreSQL, as this peer does.
        peer(Peer::KinePostgres).map(|_| first_generation(ours, many)),
        peer(Peer::Etcd).map(|theirs| latency(ours, theirs)),
    ];
    for verdict in verdicts.into_iter().flatten() {
        let _ = write!(text, "\n{verdict}\n");
    }
    Some(text)
}

/// Verdict on the throughput relative to this peer.
fn throughput(ours: &Side, theirs: &Side, clients: usize) -> String {
    let guarantee = format!(
        "writes at concurrency {clients} ≥ {RATE_TARGET:.0} × those of {}",
        theirs.name
    );
    verdict(&guarantee, |write| {
        let (ours, theirs) = (ours.figure(write, clients)?, theirs.figure(write, clients)?);
        let ratio = ours.rate() / theirs.rate();
        Some((format!("{ratio:.1} ×"), ratio >= RATE_TARGET))
    })
}

/// Verdict on the throughput relative to the first-generation server.
fn first_generation(ours: &Side, clients: usize) -> String {
    let guarantee = format!(
        "writes at concurrency {clients} ≥ {FIRST_GENERATION_TARGET:.0} × the \
         {FIRST_GENERATION:.0}/s of the first-generation server"
    );
    verdict(&guarantee, |write| {
        let ratio = ours.figure(write, clients)?.rate() / FIRST_GENERATION;
        Some((format!("{ratio:.1} ×"), ratio >= FIRST_GENERATION_TARGET))
    })
}

/// Verdict on the latency of a single writer relative to this peer.
fn latency(ours: &Side, theirs: &Side) -> String {
    let guarantee = format!("single-writer p50 ≤ that of {}", theirs.name);
    verdict(&guarantee, |write| {
        let (ours, theirs) = (ours.figure(write, 1)?, theirs.figure(write, 1)?);
        let (ours, theirs) = (p50_ms(ours), p50_ms(theirs));
        Some((format!("{ours:.2} against {theirs:.2} ms"), ours <= theirs))
    })
}

/// A line in the format of `ark-check`; a write that was not measured fails.
fn verdict(guarantee: &str, evaluate: impl Fn(Write) -> Option<(String, bool)>) -> String {
    let evaluated = WRITES.map(|write| {
        let (figures, passed) =
            evaluate(write).unwrap_or_else(|| ("not measured".to_owned(), false));
        (format!("{} {figures}", write.name()), passed)
    });
    let passed = evaluated.iter().all(|(_, passed)| *passed);
    let word = if passed { "pass " } else { "FAIL " };
    let figures = evaluated.map(|(figures, _)| figures).join(", ");
    format!("{word} {guarantee} ({figures})")
}

fn p50_ms(figure: &Figure) -> f64 {
    figure.p50.as_secs_f64() * 1e3
}

impl Side {
    fn figure(&self, write: Write, clients: usize) -> Option<&Figure> {
        let name = write.at(clients);
        self.figures.iter().find(|figure| figure.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CLIENTS, Figure, Peer, Side, WRITES, section};

    /// A server with `rate` writes per second and a median of `p50` milliseconds.
    fn side(name: &'static str, rate: u64, p50: u64) -> Side {
        let figures = WRITES.iter().flat_map(|write| {
            CLIENTS.map(|clients| Figure {
                name: write.at(clients),
                operations: rate,
                elapsed: Duration::from_secs(1),
                p50: Duration::from_millis(p50),
                p99: Duration::from_millis(p50),
                cpu_seconds: 1.0,
            })
        });
        Side {
            name,
            figures: figures.collect(),
            memory: Vec::new(),
        }
    }

    fn verdicts(ours: &Side) -> Vec<String> {
        let peers = [
            side(Peer::Etcd.name(), 100, 3),
            side(Peer::KinePostgres.name(), 432, 3),
        ];
        let text = section(ours, &peers).expect("writes were measured");
        let verdicts = text
            .lines()
            .filter(|line| line.contains("p50 ≤") || line.contains('≥'));
        verdicts.map(str::to_owned).collect()
    }

    #[test]
    fn verdict_passes_if_every_kind_of_write_does() {
        let passed = verdicts(&side("us", 2160, 3));
        assert_eq!(
            passed,
            [
                "pass  writes at concurrency 64 ≥ 5 × those of kube-apiserver+kine/postgres \
                 (create 5.0 ×, update 5.0 ×, status patch 5.0 ×)",
                "pass  writes at concurrency 64 ≥ 20 × the 108/s of the first-generation server \
                 (create 20.0 ×, update 20.0 ×, status patch 20.0 ×)",
                "pass  single-writer p50 ≤ that of kube-apiserver+etcd (create 3.00 against \
                 3.00 ms, update 3.00 against 3.00 ms, status patch 3.00 against 3.00 ms)",
            ]
        );
        let mut slow = side("us", 2159, 3);
        slow.figures.pop();
        slow.figures[0].p50 = Duration::from_millis(4);
        for failed in verdicts(&slow) {
            assert!(failed.starts_with("FAIL  "), "{failed}");
        }
    }

    #[test]
    fn section_is_none_without_writes() {
        let nothing = Side {
            name: "us",
            figures: Vec::new(),
            memory: Vec::new(),
        };
        assert!(section(&nothing, &[]).is_none());
    }
}
