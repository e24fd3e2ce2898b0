//! What the server's processes cost, from the kernel's process table.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

/// A set of server processes.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    pids: Vec<u32>,
}

impl Processes {
    /// All descendants of a process, and the process itself if asked.
    pub(crate) fn below(root: u32, with_root: bool) -> Result<Self> {
        let mut parents = BTreeMap::new();
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end while the table is read.
            if let Ok(fields) = stat_fields(pid) {
                parents.insert(pid, fields[1].parse::<u32>()?);
            }
        }
        let mut family = BTreeSet::from([root]);
        loop {
            let before = family.len();
            family.extend(
                parents
                    .iter()
                    .filter(|(_, up)| family.contains(up))
                    .map(|(pid, _)| *pid)
                    .collect::<Vec<_>>(),
            );
            if family.len() == before {
                break;
            }
        }
        let pids: Vec<u32> = family
            .into_iter()
            .filter(|pid| with_root || *pid != root)
            .collect();
        anyhow::ensure!(!pids.is_empty(), "no server process below {root}");
        Ok(Self { pids })
    }

    /// CPU seconds, user and system, that the processes have used so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let hertz = rustix::param::clock_ticks_per_second() as f64;
        let mut ticks = 0.0;
        for pid in &self.pids {
            let fields = stat_fields(*pid)?;
            ticks += fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        }
        Ok(ticks / hertz)
    }

    /// Proportional resident memory of the processes, bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let mut kilobytes = 0;
        for pid in &self.pids {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
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

/// The fields of `/proc/<pid>/stat` after the command name; index 0 is the state.
fn stat_fields(pid: u32) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("malformed stat")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}
