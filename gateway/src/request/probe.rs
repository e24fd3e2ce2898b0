//! Requests for the server's health. Anonymous callers may send them, every caller is allowed to,
//! and they are never shed.

/// Paths of probes; exactly these, nothing below them. kube-apiserver's default of
/// `--authorization-always-allow-paths`, and what its flow schema `probes` exempts.
pub const PATHS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Whether the path of a request is that of a probe.
#[must_use]
pub fn is_probe(path: &str) -> bool {
    PATHS.contains(&path)
}
