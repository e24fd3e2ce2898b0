//! libpq's parameters of TLS.

use std::path::PathBuf;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use tokio_postgres::config::SslMode;

use crate::dsn::{Dsn, refuse};
use crate::error::Error;
use crate::parameters::{self, Environment};
use crate::tls::{Root, Settings};

/// Takes the parameters of TLS; returns its settings, and the transports in the order of attempts.
pub(super) fn take(
    dsn: &mut Dsn,
    environment: Environment<'_>,
) -> Result<(Settings, &'static [SslMode]), Error> {
    let folder = parameters::home(environment).map(|home| home.join(".postgresql"));
    let default = |name: &str| {
        let path = folder.as_ref()?.join(name);
        path.exists().then_some(path)
    };
    let given = dsn.take("sslrootcert");
    let system = given.as_deref() == Some("system");
    let usual = if system { "verify-full" } else { "prefer" };
    let mode = dsn.take("sslmode").unwrap_or_else(|| usual.to_owned());
    let transports = transports(&mode)?;
    let root = if system {
        Some(Root::System)
    } else {
        let file = given.map(PathBuf::from);
        file.or_else(|| default("root.crt")).map(Root::File)
    };
    let verifies = matches!(mode.as_str(), "verify-ca" | "verify-full");
    if verifies && root.is_none() {
        return Err(refuse(&format!(
            "sslmode {mode} needs sslrootcert: a file, or system"
        )));
    }
    if system && mode != "verify-full" {
        return Err(refuse(&format!(
            "weak sslmode {mode} may not be used with sslrootcert=system: use verify-full"
        )));
    }
    if mode == "verify-full" && dsn.get("hostaddr").is_some() && dsn.get("host").is_none() {
        return Err(refuse(
            "sslmode verify-full: host name must be specified beside hostaddr",
        ));
    }
    let direct = dsn.get("sslnegotiation") == Some("direct");
    if direct && !matches!(transports, [SslMode::Require]) {
        return Err(refuse(&format!(
            "weak sslmode {mode} may not be used with sslnegotiation=direct: use require"
        )));
    }
    let certificate = dsn.take("sslcert").map(PathBuf::from);
    let certificate = certificate.or_else(|| default("postgresql.crt"));
    let key = dsn.take("sslkey").map(PathBuf::from);
    let usual_key = || certificate.as_ref().and_then(|_| default("postgresql.key"));
    let settings = Settings {
        // As libpq: an authority that is given is verified in every mode.
        root: root.filter(|_| mode != "disable"),
        verify_name: mode == "verify-full",
        key: key.or_else(usual_key),
        certificate,
        server_name: dsn.take("sslsni").as_deref() != Some("0"),
        versions: versions(dsn)?,
        direct,
    };
    Ok((settings, transports))
}

fn transports(mode: &str) -> Result<&'static [SslMode], Error> {
    match mode {
        "disable" => Ok(&[SslMode::Disable]),
        "allow" => Ok(&[SslMode::Disable, SslMode::Require]),
        // The first ends without TLS if the server has none.
        "prefer" => Ok(&[SslMode::Prefer, SslMode::Disable]),
        "require" | "verify-ca" | "verify-full" => Ok(&[SslMode::Require]),
        _ => {
            let choices = "disable, allow, prefer, require, verify-ca or verify-full";
            Err(refuse(&format!("sslmode {mode:?} must be {choices}")))
        }
    }
}

/// Takes the bounds of the TLS version; the driver has 1.2 and 1.3.
fn versions(dsn: &mut Dsn) -> Result<Vec<&'static SupportedProtocolVersion>, Error> {
    let mut place = |key: &str| {
        let Some(text) = dsn.take(key) else {
            return Ok(None);
        };
        match text.to_ascii_lowercase().as_str() {
            "tlsv1" | "tlsv1.1" => Ok(Some(0)),
            "tlsv1.2" => Ok(Some(1)),
            "tlsv1.3" => Ok(Some(2)),
            _ => Err(refuse(&format!("{key} must be TLSv1.2 or TLSv1.3"))),
        }
    };
    let lowest = place("ssl_min_protocol_version")?.unwrap_or(0);
    let highest = place("ssl_max_protocol_version")?.unwrap_or(2);
    let known = [(1, &TLS12), (2, &TLS13)];
    let within = known
        .into_iter()
        .filter(|(version, _)| (lowest..=highest).contains(version));
    let versions: Vec<_> = within.map(|(_, version)| version).collect();
    if versions.is_empty() {
        return Err(refuse(
            "ssl_max_protocol_version must be TLSv1.2 or TLSv1.3, and not below the minimum",
        ));
    }
    Ok(versions)
}
