//! CPU time and memory of the server's processes, from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use anyhow::{Context as _, Result};

/// A set of server processes, determined at each call because PostgreSQL starts one per connection.
#[derive(Clone, Debug)]
pub struct Processes {
    root: u32,
    with_root: bool,
}

/// A process in `/proc`.
struct Entry {
    parent: u32,
    /// Clock ticks, user and system, of the process and its reaped children.
    ticks: f64,
    ended: bool,
}

impl Processes {
    /// All descendants of a process, with the process itself if `with_root`.
    pub fn below(root: u32, with_root: bool) -> Result<Self> {
        let processes = Self { root, with_root };
        anyhow::ensure!(
            !processes.family()?.is_empty(),
            "no server process below {root}"
        );
        Ok(processes)
    }

    /// The ids of the running processes.
    pub fn pids(&self) -> Result<Vec<u32>> {
        let family = self.family()?.into_iter();
        let alive = family.filter(|(_, entry)| !entry.ended);
        Ok(alive.map(|(pid, _)| pid).collect())
    }

    fn family(&self) -> Result<BTreeMap<u32, Entry>> {
        let mut entries = BTreeMap::new();
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            if let Some(text) = if_running(std::fs::read_to_string(format!("/proc/{pid}/stat")))? {
                entries.insert(pid, Entry::parse(&text).context("malformed stat")?);
            }
        }
        let mut family = BTreeSet::from([self.root]);
        loop {
            let before = family.len();
            let children = entries
                .iter()
                .filter(|(_, entry)| family.contains(&entry.parent));
            family.extend(children.map(|(pid, _)| *pid).collect::<Vec<_>>());
            if family.len() == before {
                break;
            }
        }
        entries.retain(|pid, _| family.contains(pid) && (self.with_root || *pid != self.root));
        Ok(entries)
    }

    /// CPU seconds, user and system, including those of ended processes, which the kernel adds to
    /// their parent.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let hertz = rustix::param::clock_ticks_per_second() as f64;
        let family = self.family()?;
        Ok(family.values().map(|entry| entry.ticks).sum::<f64>() / hertz)
    }

    /// Proportional resident memory of the processes, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let mut kilobytes = 0;
        for (pid, entry) in self.family()? {
            let text = if_running(std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")))?;
            let Some(text) = text.filter(|_| !entry.ended) else {
                continue;
            };
            let line = text
                .lines()
                .find(|line| line.starts_with("Pss:"))
                .context("no Pss line")?;
            kilobytes += line
                .split_whitespace()
                .nth(1)
                .context("no Pss value")?
                .parse::<u64>()?;
        }
        Ok(kilobytes * 1024)
    }
}

impl Entry {
    /// Parses `/proc/<pid>/stat`.
    fn parse(text: &str) -> Option<Self> {
        // The command name in brackets may contain any character, so the last bracket ends it.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<f64>());
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            ticks: ticks.sum::<Result<f64, _>>().ok()?,
            ended: fields.first() == Some(&"Z"),
        })
    }
}

/// The content, or `None` if the process ended meanwhile.
fn if_running(read: io::Result<String>) -> Result<Option<String>> {
    let gone = |error: &io::Error| {
        error.kind() == io::ErrorKind::NotFound
            || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
    };
    match read {
        Ok(text) => Ok(Some(text)),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{Entry, Processes};

    #[test]
    fn command_name_may_contain_brackets_and_spaces() {
        let text = "7 (a) b) S 3 7 7 0 -1 4 5 6 7 8 10 20 30 40 20 0 1 0";
        let entry = Entry::parse(text).expect("an entry");
        assert_eq!((entry.parent, entry.ticks, entry.ended), (3, 100.0, false));
    }

    #[test]
    fn cpu_time_includes_ended_children() {
        let burn = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        let script = format!("sh -c '{burn}'; echo done; read line");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let processes = Processes::below(child.id(), true).expect("it runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)
            .expect("a line");
        assert!(processes.cpu_seconds().expect("ticks") > 0.02);
        assert!(processes.resident_bytes().expect("bytes") > 0);
        drop(child.stdin.take());
        child.wait().expect("an end");
    }
}
