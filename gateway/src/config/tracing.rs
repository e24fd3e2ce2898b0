//! The flag of tracing, and the file that it names.

use std::path::PathBuf;

use serde::Deserialize;

use super::Error;
use crate::config_file::{self, ConfigFileError};
use crate::telemetry::trace::Options;

/// Collector by default, as kube-apiserver's.
const ENDPOINT: &str = "localhost:4317";
const VERSIONS: [&str; 3] = [
    "apiserver.config.k8s.io/v1",
    "apiserver.config.k8s.io/v1beta1",
    "apiserver.config.k8s.io/v1alpha1",
];

/// Tracing.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Tracing")]
pub struct TracingFlags {
    /// TracingConfiguration (apiserver.config.k8s.io/v1): `endpoint` of a collector of OTLP over
    /// gRPC, and `samplingRatePerMillion`. Without it nothing is traced.
    #[arg(long, env = "ARK_TRACING_CONFIG_FILE", value_name = "FILE")]
    pub tracing_config_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TracingConfiguration {
    api_version: String,
    kind: String,
    endpoint: Option<String>,
    sampling_rate_per_million: Option<u32>,
}

impl TracingFlags {
    /// The configuration; `None` without a file.
    ///
    /// # Errors
    /// If the file cannot be read or is invalid.
    pub fn options(&self) -> Result<Option<Options>, Error> {
        let Some(path) = &self.tracing_config_file else {
            return Ok(None);
        };
        let options = parse(&config_file::bytes(path).map_err(Error::Tracing)?);
        let options = options.map_err(|problem| ConfigFileError::invalid(path, problem));
        Ok(Some(options.map_err(Error::Tracing)?))
    }
}

fn parse(text: &[u8]) -> Result<Options, String> {
    let document: TracingConfiguration = config_file::members(config_file::document(text)?)?;
    let version = document.api_version.as_str();
    if document.kind != "TracingConfiguration" || !VERSIONS.contains(&version) {
        return Err(format!(
            "set apiVersion: {} and kind: TracingConfiguration",
            VERSIONS[0]
        ));
    }
    let samples_per_million = document.sampling_rate_per_million.unwrap_or(0);
    if samples_per_million > 1_000_000 {
        return Err("samplingRatePerMillion must not exceed 1000000".to_owned());
    }
    let endpoint = document.endpoint.as_deref().unwrap_or(ENDPOINT);
    let endpoint = endpoint.strip_prefix("dns:").unwrap_or(endpoint);
    let endpoint = endpoint.trim_start_matches('/');
    let authority = endpoint.parse::<http::uri::Authority>();
    if !authority.is_ok_and(|authority| authority.port().is_some()) {
        return Err(format!(
            "endpoint {endpoint:?}: set HOST:PORT of a collector"
        ));
    }
    Ok(Options {
        endpoint: endpoint.to_owned(),
        samples_per_million,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n";

    #[test]
    fn file_of_kube_apiserver_is_accepted() {
        let options = |text: &str| parse(format!("{HEAD}{text}").as_bytes());
        let expected = |endpoint: &str, samples_per_million| {
            Ok(Options {
                endpoint: endpoint.to_owned(),
                samples_per_million,
            })
        };
        assert_eq!(options(""), expected(ENDPOINT, 0));
        let text = "endpoint: dns:///otel.svc:4317\nsamplingRatePerMillion: 100";
        assert_eq!(options(text), expected("otel.svc:4317", 100));
        for (text, problem) in [
            ("endpoint: unix:///x", "set HOST:PORT"),
            ("endpoint: otel", "set HOST:PORT"),
            ("samplingRatePerMillion: 1000001", "must not exceed"),
            ("sampling: 1", "unknown field `sampling`"),
        ] {
            let error = options(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
