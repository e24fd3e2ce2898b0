//! `process_*` metrics, with the names of client_golang's process collector.

use prometheus_client::registry::Registry;

/// Registers processor time, memory, descriptors and start of this process, measured at each
/// scrape. Registers nothing on systems without `/proc`.
pub fn register(registry: &mut Registry) {
    #[cfg(target_os = "linux")]
    registry.register_collector(Box::new(linux::Process));
    #[cfg(not(target_os = "linux"))]
    let _ = registry;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt;

    use procfs::WithCurrentSystemInfo as _;
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
    use prometheus_client::metrics::counter::ConstCounter;
    use prometheus_client::metrics::gauge::ConstGauge;
    use rustix::process::{Resource, getrlimit};

    #[derive(Debug)]
    pub(super) struct Process;

    impl Collector for Process {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            // Without permission to read `/proc`, the metrics are absent.
            let Ok(process) = procfs::process::Process::myself() else {
                return Ok(());
            };
            let Ok(stat) = process.stat() else {
                return Ok(());
            };
            let ticks = procfs::ticks_per_second() as f64;
            let busy = (stat.utime + stat.stime) as f64 / ticks;
            counter(
                &mut encoder,
                "process_cpu_seconds",
                "Processor time, in seconds",
                busy,
            )?;
            let mut gauge = |name, help, value| gauge(&mut encoder, name, help, value);
            if let Ok(open) = process.fd_count() {
                gauge("process_open_fds", "Open descriptors", open as f64)?;
            }
            if let Some(most) = getrlimit(Resource::Nofile).current {
                let help = "Descriptors that may be open";
                gauge("process_max_fds", help, most as f64)?;
            }
            let name = "process_virtual_memory_bytes";
            gauge(name, "Virtual memory, in bytes", stat.vsize as f64)?;
            let resident = stat.rss_bytes().get() as f64;
            let name = "process_resident_memory_bytes";
            gauge(name, "Memory in use, in bytes", resident)?;
            if let Ok(booted) = procfs::boot_time_secs() {
                let started = booted as f64 + stat.starttime as f64 / ticks;
                let help = "Start of the process, in seconds since 1970";
                gauge("process_start_time_seconds", help, started)?;
            }
            Ok(())
        }
    }

    fn counter(
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: f64,
    ) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    fn gauge(
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: f64,
    ) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use crate::Format;

    #[test]
    fn process_is_measured() {
        let mut registry = prometheus_client::registry::Registry::default();
        super::register(&mut registry);
        let text = Format::Text.encode(&registry);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok())
                .unwrap_or_else(|| panic!("no {name} in {text}"))
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_max_fds ") >= value("process_open_fds "));
        // After 2020, and not in the future.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap().as_secs_f64();
        let started = value("process_start_time_seconds ");
        assert!(started > 1.5e9 && started < now + 2.0, "{started}");
        assert!(
            text.contains("# TYPE process_cpu_seconds_total counter\n"),
            "{text}"
        );
    }
}
