//! Metrics of audit events, with kube-apiserver's names.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::policy::Level;
use crate::telemetry;

/// Minimum time between two log lines about lost events.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Counters of events; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    events: Counter,
    levels: Family<LevelLabel, Counter>,
    errors: Family<PluginLabel, Counter>,
    rejected: Counter,
    logged: Arc<Mutex<Logged>>,
}

/// The part of a backend that lost an event: kube-apiserver's plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Plugin {
    /// The queue in front of a backend.
    Buffered,
    /// The file.
    Log,
    /// The limit of an event's size.
    Truncate,
    /// The HTTP server.
    Webhook,
}

#[derive(Debug, Default)]
struct Logged {
    last: Option<Instant>,
    left_out: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabel {
    level: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabel {
    plugin: &'static str,
}

impl Plugin {
    const ALL: [Self; 4] = [Self::Buffered, Self::Log, Self::Truncate, Self::Webhook];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Log => "log",
            Self::Truncate => "truncate",
            Self::Webhook => "webhook",
        }
    }
}

impl Metrics {
    /// Counters that are exported as 0 before the first event.
    pub(super) fn new(metrics: &telemetry::Metrics) -> Self {
        let this = Self::default();
        for plugin in Plugin::ALL {
            drop(this.errors.get_or_create(&plugin.label()));
        }
        metrics.register(|registry| this.register(registry));
        this
    }

    fn register(&self, registry: &mut Registry) {
        let help = "Audit events that were submitted to the backends";
        registry.register("apiserver_audit_event", help, self.events.clone());
        let help = "Requests by the level that the audit policy gives them";
        registry.register("apiserver_audit_level", help, self.levels.clone());
        let help = "Audit events that were lost, by the part that lost them";
        registry.register("apiserver_audit_error", help, self.errors.clone());
        let help = "Requests rejected because their audit event could not be stored";
        let name = "apiserver_audit_requests_rejected";
        registry.register(name, help, self.rejected.clone());
    }

    pub(super) fn event(&self) {
        self.events.inc();
    }

    pub(super) fn level(&self, level: Level) {
        let level = level.as_str();
        self.levels.get_or_create(&LevelLabel { level }).inc();
    }

    pub(super) fn rejected(&self) {
        self.rejected.inc();
    }

    /// Counts lost events, and logs the reason at most once per second.
    pub(super) fn lost(&self, plugin: Plugin, events: usize, reason: &dyn std::fmt::Display) {
        let counter = self.errors.get_or_create(&plugin.label());
        counter.inc_by(events as u64);
        drop(counter);
        let mut logged = self.logged.lock();
        let due = logged
            .last
            .is_none_or(|last| last.elapsed() >= LOG_INTERVAL);
        if !due {
            logged.left_out += events;
            return;
        }
        let left_out = std::mem::take(&mut logged.left_out);
        logged.last = Some(Instant::now());
        drop(logged);
        let plugin = plugin.as_str();
        tracing::error!(plugin, events, left_out, %reason, "lost audit events");
    }
}

impl Plugin {
    const fn label(self) -> PluginLabel {
        PluginLabel {
            plugin: self.as_str(),
        }
    }
}
