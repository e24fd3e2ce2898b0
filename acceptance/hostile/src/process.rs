//! Memory and CPU time of the gateway process, from `/proc`.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = text.split_whitespace().nth(1).context("malformed statm")?;
    Ok(pages.parse::<u64>()? * rustix::param::page_size() as u64)
}

/// CPU time that a process has used, user and system.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command name in brackets may contain any character, so the last bracket ends it.
    let (_, rest) = text.rsplit_once(')').context("malformed stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = fields.get(11..13).context("short stat")?;
    let ticks = ticks[0].parse::<u64>()? + ticks[1].parse::<u64>()?;
    let hertz = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / hertz as f64))
}

/// Raises the descriptor limit to the hard limit; returns it.
pub(crate) fn raise_descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn resident_memory_of_this_process_is_not_zero() {
        let pid = std::process::id();
        assert!(super::resident(pid).expect("statm") > 1 << 20);
        super::cpu(pid).expect("stat");
    }
}
