//! Health probes. Anonymous callers may send them, every caller is authorized, and they are never
//! shed.

/// Paths of probes; exact matches only. kube-apiserver's default of
/// `--authorization-always-allow-paths`, and the exemption of its flow schema `probes`.
pub const PATHS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Whether a path is that of a probe.
#[must_use]
pub fn is_probe(path: &str) -> bool {
    PATHS.contains(&path)
}
