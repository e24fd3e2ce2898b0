//! Availability of the APIServices, and what kube-apiserver logs about them.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::crds::OURS;
use crate::world::World;

const AVAILABLE_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn within_limit(world: &mut World) -> Result<String> {
    let took = world.available_after;
    ensure!(
        took < AVAILABLE_WITHIN,
        "available after {:.1} s",
        took.as_secs_f64()
    );
    Ok(format!("after {:.1} s", took.as_secs_f64()))
}

/// kube-apiserver's log since the APIServices became available.
pub(super) async fn clean_log(world: &mut World) -> Result<String> {
    let log = world.cluster.control_plane.server_log()?;
    let log = log.get(world.logged_before..).unwrap_or_default();
    let ours: Vec<&str> = log.lines().filter(|line| is_complaint(line)).collect();
    if let Some(first) = ours.first() {
        bail!("{} lines, the first: {first}", ours.len());
    }
    Ok(format!(
        "{} lines, none about our groups",
        log.lines().count()
    ))
}

/// Whether a line of klog is a warning or an error about one of our groups.
fn is_complaint(line: &str) -> bool {
    let severe = line.starts_with(['E', 'W', 'F']);
    let about_us = [OURS, "ark.mckinsey.com", "ark-apiserver"];
    // Logged for a proxied watch whose client disconnects.
    let aborted = line.contains("Timeout or abort while handling") && line.contains("watch=");
    severe && !aborted && about_us.iter().any(|name| line.contains(name))
}

#[cfg(test)]
mod tests {
    use super::is_complaint;

    #[test]
    fn complaint_is_an_error_about_our_groups() {
        let error = "E1130 10:00:00.0 1 controller.go:1] \"Unhandled\" err=\"loading OpenAPI spec \
                     for \\\"v1.judge.example.com\\\" failed\"";
        assert!(is_complaint(error));
        assert!(!is_complaint(&error.replacen('E', "I", 1)));
        assert!(!is_complaint("E1130 10:00:00.0 1 a.go:1] etcd is slow"));
    }
}
