//! libpq's connection parameters: their treatment, and their defaults from service files and
//! environment variables. Explicit values override a service, which overrides the environment.

use std::path::{Path, PathBuf};

use crate::dsn::{Dsn, refuse};
use crate::error::Error;

/// Environment variables. A function, so that tests need not change those of the process.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What becomes of a parameter.
enum Treatment {
    /// The driver uses it.
    Used,
    /// Has no effect: the driver sets its own, or the feature does not change what is stored.
    Ignored,
    /// As `Ignored`, but must be a number.
    IgnoredNumber,
    /// These values have no effect; the others are refused for the reason.
    OnlyAs(&'static [&'static str], &'static str),
    /// Refused for the reason.
    Refused(&'static str),
}

/// A parameter with its environment variable, or an empty name.
struct Parameter(&'static str, &'static str, Treatment);

use Treatment::{Ignored, IgnoredNumber, OnlyAs, Refused, Used};

const NO_CRL: &str = "revocation lists are not supported";
const NO_OAUTH: &str = "OAuth is not supported";
const NO_SCRAM_KEY: &str = "SCRAM keys are not supported: give the password";

/// All parameters of libpq 18 and earlier.
static PARAMETERS: &[Parameter] = &[
    Parameter("host", "PGHOST", Used),
    Parameter("hostaddr", "PGHOSTADDR", Used),
    Parameter("port", "PGPORT", Used),
    Parameter("dbname", "PGDATABASE", Used),
    Parameter("user", "PGUSER", Used),
    Parameter("password", "PGPASSWORD", Used),
    Parameter("passfile", "PGPASSFILE", Used),
    Parameter("options", "PGOPTIONS", Used),
    Parameter("application_name", "PGAPPNAME", Used),
    Parameter("fallback_application_name", "", Used),
    Parameter("target_session_attrs", "PGTARGETSESSIONATTRS", Used),
    Parameter("load_balance_hosts", "PGLOADBALANCEHOSTS", Used),
    Parameter("channel_binding", "PGCHANNELBINDING", Used),
    Parameter("sslmode", "PGSSLMODE", Used),
    Parameter("sslnegotiation", "PGSSLNEGOTIATION", Used),
    Parameter("sslcert", "PGSSLCERT", Used),
    Parameter("sslkey", "PGSSLKEY", Used),
    Parameter("sslrootcert", "PGSSLROOTCERT", Used),
    Parameter("sslsni", "PGSSLSNI", Used),
    Parameter("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Used),
    Parameter("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Used),
    // The driver has its own deadlines, and its statements are UTF-8.
    Parameter("connect_timeout", "PGCONNECT_TIMEOUT", IgnoredNumber),
    Parameter("tcp_user_timeout", "", IgnoredNumber),
    Parameter("keepalives", "", IgnoredNumber),
    Parameter("keepalives_idle", "", IgnoredNumber),
    Parameter("keepalives_interval", "", IgnoredNumber),
    Parameter("keepalives_count", "", IgnoredNumber),
    Parameter("client_encoding", "PGCLIENTENCODING", Ignored),
    Parameter("sslcompression", "PGSSLCOMPRESSION", Ignored),
    // Needed for an encrypted key only, which is refused where it is read.
    Parameter("sslpassword", "", Ignored),
    Parameter("sslkeylogfile", "", Ignored),
    Parameter("krbsrvname", "PGKRBSRVNAME", Ignored),
    Parameter("gsslib", "PGGSSLIB", Ignored),
    Parameter("gssdelegation", "PGGSSDELEGATION", Ignored),
    Parameter("max_protocol_version", "PGMAXPROTOCOLVERSION", Ignored),
    Parameter("authtype", "PGAUTHTYPE", Ignored),
    Parameter("tty", "PGTTY", Ignored),
    Parameter(
        "gssencmode",
        "PGGSSENCMODE",
        OnlyAs(&["disable", "prefer"], "GSSAPI encryption is not supported"),
    ),
    Parameter(
        "sslcertmode",
        "PGSSLCERTMODE",
        OnlyAs(&["allow"], "the client certificate is sent if it is given"),
    ),
    Parameter(
        "replication",
        "",
        OnlyAs(
            &["false", "off", "no", "0"],
            "the driver cannot use a replication connection",
        ),
    ),
    Parameter(
        "min_protocol_version",
        "PGMINPROTOCOLVERSION",
        OnlyAs(&["3.0"], "the driver uses version 3.0 of the protocol"),
    ),
    Parameter("sslcrl", "PGSSLCRL", Refused(NO_CRL)),
    Parameter("sslcrldir", "PGSSLCRLDIR", Refused(NO_CRL)),
    Parameter(
        "requirepeer",
        "PGREQUIREPEER",
        Refused("the owner of a socket cannot be checked: protect its directory"),
    ),
    Parameter(
        "require_auth",
        "PGREQUIREAUTH",
        Refused("methods cannot be restricted here: use pg_hba.conf, or channel_binding=require"),
    ),
    Parameter("scram_client_key", "", Refused(NO_SCRAM_KEY)),
    Parameter("scram_server_key", "", Refused(NO_SCRAM_KEY)),
    Parameter("oauth_issuer", "", Refused(NO_OAUTH)),
    Parameter("oauth_client_id", "", Refused(NO_OAUTH)),
    Parameter("oauth_client_secret", "", Refused(NO_OAUTH)),
    Parameter("oauth_scope", "", Refused(NO_OAUTH)),
];

/// Name of a service, and the file that defines it. Neither is a parameter in a service file.
const SERVICE: &str = "service";
const SERVICE_FILE: &str = "servicefile";

/// Completes a connection string by the service that it or the environment names, and by the
/// environment; removes what has no effect.
pub(crate) fn complete(mut dsn: Dsn, environment: Environment<'_>) -> Result<Dsn, Error> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let service = dsn.take(SERVICE).or_else(|| variable("PGSERVICE"));
    let file = dsn.take(SERVICE_FILE).or_else(|| variable("PGSERVICEFILE"));
    if let Some(service) = service {
        let files = service_files(file, environment);
        for (key, value) in read_service(&service, &files)? {
            dsn.set_default(&key, &value);
        }
    }
    for Parameter(name, variable_name, treatment) in PARAMETERS {
        let inherited = variable(variable_name).filter(|_| !variable_name.is_empty());
        if let Some(value) = inherited {
            dsn.set_default(name, &value);
        }
        if let Some(value) = dsn.get(name) {
            treatment.check(name, value)?;
        }
        if !matches!(treatment, Used) {
            dsn.take(name);
        }
    }
    if variable("PGREQUIRESSL").is_some_and(|value| value == "1") {
        dsn.set_default("sslmode", "require");
    }
    match dsn.first_key(|key| !PARAMETERS.iter().any(|it| it.0 == key)) {
        // Do not quote what may be a part of a malformed password.
        Some(key) if key.bytes().all(|it| it.is_ascii_lowercase() || it == b'_') => {
            Err(refuse(&format!("invalid connection option {key:?}")))
        }
        Some(_) => Err(refuse("a parameter has an invalid name")),
        None => Ok(dsn),
    }
}

impl Treatment {
    fn check(&self, name: &str, value: &str) -> Result<(), Error> {
        let problem = match self {
            Used | Ignored => None,
            IgnoredNumber if value.trim().parse::<i32>().is_ok() => None,
            IgnoredNumber => Some("must be a number"),
            OnlyAs(values, _) if values.contains(&value) => None,
            OnlyAs(_, reason) | Refused(reason) => Some(*reason),
        };
        match problem {
            // A value may be secret.
            Some(problem) if matches!(self, Refused(_)) => {
                Err(refuse(&format!("{name}: {problem}")))
            }
            Some(problem) => Err(refuse(&format!("{name}={value}: {problem}"))),
            None => Ok(()),
        }
    }
}

/// Returns the files that may define a service, in libpq's order.
fn service_files(given: Option<String>, environment: Environment<'_>) -> Vec<PathBuf> {
    let own = home(environment).map(|home| home.join(".pg_service.conf"));
    let own = own.filter(|path| path.exists());
    let system = environment("PGSYSCONFDIR").map(PathBuf::from);
    let system = system.map(|folder| folder.join("pg_service.conf"));
    let system = system.filter(|path| path.exists());
    given
        .map(PathBuf::from)
        .or(own)
        .into_iter()
        .chain(system)
        .collect()
}

/// Returns the home directory, in which libpq's default files are.
pub(crate) fn home(environment: Environment<'_>) -> Option<PathBuf> {
    environment("HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from)
}

/// Reads the parameters of a service from the first file that defines it.
fn read_service(service: &str, files: &[PathBuf]) -> Result<Vec<(String, String)>, Error> {
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| refuse(&format!("service file {}: {error}", file.display())))?;
        if let Some(found) = parse_service(service, &text, file)? {
            return Ok(found);
        }
    }
    Err(refuse(&format!(
        "definition of service {service:?} not found"
    )))
}

/// Parses the section of a service; `None` if the file has none.
fn parse_service(
    service: &str,
    text: &str,
    file: &Path,
) -> Result<Option<Vec<(String, String)>>, Error> {
    let mut found: Option<Vec<(String, String)>> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            found = (name.strip_suffix(']') == Some(service)).then(Vec::new);
            continue;
        }
        let Some(found) = &mut found else { continue };
        let pair = line.split_once('=');
        let known = |key: &str| PARAMETERS.iter().any(|it| it.0 == key);
        let Some((key, value)) = pair.filter(|(key, _)| known(key)) else {
            let place = format!("service file {}, line {}", file.display(), number + 1);
            return Err(refuse(&format!("{place}: not a known parameter")));
        };
        found.push((key.to_owned(), value.to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
