//! The text formats and their negotiation.

use std::fmt::Write as _;

use http::HeaderValue;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own format, version 0.0.4: the default, as in `promhttp` of client_golang.
    Text,
    /// OpenMetrics 1.0.0, for clients that ask for it.
    OpenMetrics,
}

impl Format {
    /// The format for an `Accept` header: OpenMetrics if the client prefers it to `text/plain` and
    /// `*/*`, else text.
    #[must_use]
    pub fn negotiate(accept: Option<&HeaderValue>) -> Self {
        let accept = accept.and_then(|value| value.to_str().ok());
        let (mut open_metrics, mut text) = (0.0, 0.0);
        for range in accept.unwrap_or_default().split(',').take(RANGES) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let quality = quality(parts);
            if kind.eq_ignore_ascii_case(OPEN_METRICS) {
                open_metrics = f32::max(open_metrics, quality);
            } else if ["text/plain", "text/*", "*/*"].contains(&kind) {
                text = f32::max(text, quality);
            }
        }
        if open_metrics > text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The `Content-Type` of a response.
    #[must_use]
    pub const fn content_type(self) -> HeaderValue {
        match self {
            Self::Text => HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
            Self::OpenMetrics => HeaderValue::from_static(
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ),
        }
    }

    /// All metrics of a registry.
    #[must_use]
    pub fn encode(self, registry: &Registry) -> String {
        let mut open_metrics = String::new();
        // Only a metric's own encoder can fail, and writing to a String cannot.
        if let Err(error) = encode(&mut open_metrics, registry) {
            tracing::error!(%error, "cannot encode metrics");
        }
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Text => text(&open_metrics),
        }
    }
}

/// Ranges of an `Accept` header that count; Prometheus sends five.
const RANGES: usize = 16;

fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> f32 {
    let quality = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        (name.trim().eq_ignore_ascii_case("q")).then(|| value.trim().parse().ok())?
    });
    quality.unwrap_or(1.0)
}

/// Converts OpenMetrics to version 0.0.4. There a counter is declared by the full name of its
/// series, `info` and `unknown` are no types, and units and the end mark are unknown. A counter whose
/// name ends with `_count` has no further suffix: kube-apiserver has such names.
fn text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 256);
    let (mut help, mut unsuffixed) = (None, None);
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            unsuffixed = Some(name).filter(|_| kind == "counter" && name.ends_with("_count"));
            let (suffix, kind) = match kind {
                "counter" if unsuffixed.is_some() => ("", "counter"),
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            // Writing to a String cannot fail.
            if let Some((_, help)) = help.take_if(|(of, _)| *of == name) {
                let _ = writeln!(text, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            let rest = unsuffixed.and_then(|name| line.strip_prefix(name)?.strip_prefix("_total"));
            match (unsuffixed, rest) {
                (Some(name), Some(rest)) => text.extend([name, rest]),
                _ => text.push_str(line),
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::Unit;

    use super::*;

    fn registry() -> Registry {
        let mut registry = Registry::default();
        let info = Info::new([("version", "1")]);
        registry.register("app_build", "The build", info);
        registry.register("app_error_count", "Errors", Counter::<u64>::default());
        let requests = Family::<Vec<(String, String)>, Counter>::default();
        let labels = vec![("code".to_owned(), "a \"quoted\" # {".to_owned())];
        requests.get_or_create(&labels).inc();
        registry.register("app_requests", "Requests", requests);
        let sizes = Histogram::new([1.0, 2.0]);
        sizes.observe(1.5);
        registry.register("app_sizes", "Sizes", sizes);
        let gauge: Gauge = Gauge::default();
        registry.register_with_unit("app_age", "Age", Unit::Seconds, gauge);
        registry
    }

    #[test]
    fn text_has_types_and_names_of_version_0_0_4() {
        let expected = "# HELP app_build_info The build.\n\
                        # TYPE app_build_info gauge\n\
                        app_build_info{version=\"1\"} 1\n\
                        # HELP app_error_count Errors.\n\
                        # TYPE app_error_count counter\n\
                        app_error_count 0\n\
                        # HELP app_requests_total Requests.\n\
                        # TYPE app_requests_total counter\n\
                        app_requests_total{code=\"a \\\"quoted\\\" # {\"} 1\n\
                        # HELP app_sizes Sizes.\n\
                        # TYPE app_sizes histogram\n\
                        app_sizes_sum 1.5\n\
                        app_sizes_count 1\n\
                        app_sizes_bucket{le=\"1.0\"} 0\n\
                        app_sizes_bucket{le=\"2.0\"} 1\n\
                        app_sizes_bucket{le=\"+Inf\"} 1\n\
                        # HELP app_age_seconds Age.\n\
                        # TYPE app_age_seconds gauge\n\
                        app_age_seconds 0\n";
        assert_eq!(Format::Text.encode(&registry()), expected);
        let open_metrics = Format::OpenMetrics.encode(&registry());
        assert!(open_metrics.contains("# TYPE app_build info\n"));
        assert!(open_metrics.ends_with("# EOF\n"));
    }

    #[test]
    fn accept_header_selects_format() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,\
                          text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (None, Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/plain"), Format::Text),
            (Some("application/json"), Format::Text),
            (Some("\u{fffd}, ;;q=x,="), Format::Text),
            (Some(prometheus), Format::OpenMetrics),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (Some("application/openmetrics-text; q=0"), Format::Text),
            (
                Some("text/plain, application/openmetrics-text; q=0.9"),
                Format::Text,
            ),
        ] {
            let header = accept.map(|accept| HeaderValue::from_bytes(accept.as_bytes()).unwrap());
            assert_eq!(Format::negotiate(header.as_ref()), format, "{accept:?}");
        }
    }
}
