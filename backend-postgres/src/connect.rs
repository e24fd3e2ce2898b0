//! New connections. Attempts to every address of every host start one after the other without
//! waiting for the previous to fail. If several servers accept writes, the one on the latest
//! timeline is the primary; the others have been deposed.

mod race;

use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use crate::error::{Error, describe};
use crate::options::{Password, Target};
use crate::passfile;
use crate::tls::{self, Tls};
use race::{Attempt, Until, race};

/// Timeout of a new connection, over all hosts.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// The timeline of a server that accepts writes.
const TIMELINE: &str = "SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)";

/// A client, and the future that moves its messages.
pub(crate) type Opened = (
    Client,
    Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
);

/// Which servers are acceptable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The one that accepts writes.
    Primary,
    /// Any.
    Any,
}

/// Connects to the acceptable server on the latest timeline.
pub(crate) async fn connect(target: &Target, wanted: Wanted) -> Result<Opened, Error> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let password = match &target.password {
        Password::File(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            Error::Refused(format!("--password-file {}: {error}", path.display()))
        })?),
        Password::Configured | Password::Passfile(_) => None,
    };
    let mut attempts = Vec::new();
    for config in &target.hosts {
        let mut config = config.clone();
        if let Some(password) = &password {
            config.password(password.trim_end_matches(['\r', '\n']));
        }
        if let Password::Passfile(path) = &target.password
            && let Some(password) = passfile::password(path, &config)
        {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("backend-postgres");
        }
        config
            .target_session_attrs(match wanted {
                Wanted::Primary => TargetSessionAttrs::ReadWrite,
                Wanted::Any => TargetSessionAttrs::Any,
            })
            .tcp_user_timeout(Duration::from_secs(5))
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3);
        attempts.push(Attempt {
            place: place(&config),
            connecting: connect_host(config, target, wanted, deadline),
        });
    }
    let first = target.hosts.first();
    if first.is_some_and(is_shuffled) {
        attempts.sort_by_cached_key(|_| Uuid::new_v4());
    }
    let connected = race(attempts, until(wanted)).await?;
    latest(connected.into_iter().flatten().collect(), deadline).await
}

/// A standby has no successor to be compared with.
const fn until(wanted: Wanted) -> Until {
    match wanted {
        Wanted::Primary => Until::All,
        Wanted::Any => Until::First,
    }
}

/// Returns the connection to the server on the latest timeline: the first of equal ones.
async fn latest(connected: Vec<Opened>, deadline: Instant) -> Result<Opened, Error> {
    if connected.len() > 1 {
        return latest_of(connected, deadline).await;
    }
    connected.into_iter().next().ok_or_else(silent)
}

async fn latest_of(connected: Vec<Opened>, deadline: Instant) -> Result<Opened, Error> {
    let mut latest: Option<(String, Opened)> = None;
    for mut opened in connected {
        // A server that does not respond now is none to write to.
        let Ok(Ok(timeline)) = timeout_at(deadline, timeline(&mut opened)).await else {
            continue;
        };
        // Hexadecimal numbers of one length.
        if latest.as_ref().is_none_or(|(other, _)| timeline > *other) {
            latest = Some((timeline, opened));
        }
    }
    latest.map(|(_, opened)| opened).ok_or_else(silent)
}

/// Reads the timeline of a server, before its connection has an owner.
async fn timeline((client, connection): &mut Opened) -> Result<String, Error> {
    let messages = tokio::select! {
        messages = client.simple_query(TIMELINE) => messages?,
        _ = connection => return Err(silent()),
    };
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
        _ => None,
    });
    row.ok_or_else(silent)
}

fn is_shuffled(config: &Config) -> bool {
    config.get_load_balance_hosts() == LoadBalanceHosts::Random
}

/// Formats a host for error messages.
fn place(config: &Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Tcp(name)) => format!("{name}:{port}"),
        Some(Host::Unix(folder)) => format!("{}:{port}", folder.display()),
        None => format!("port {port}"),
    }
}

/// Connects to the addresses of one host.
async fn connect_host(
    mut config: Config,
    target: &Target,
    wanted: Wanted,
    deadline: Instant,
) -> Result<Vec<Opened>, Error> {
    let tls = &target.tls;
    let transports: &[SslMode] = match config.get_hosts() {
        // The server has no TLS there, and libpq ignores the mode.
        [Host::Unix(_)] => &[SslMode::Disable],
        _ => target.transports,
    };
    let ([Host::Tcp(name)], []) = (config.get_hosts(), config.get_hostaddrs()) else {
        config.load_balance_hosts(LoadBalanceHosts::Disable);
        let opened = connect_address(config, tls, transports, deadline).await?;
        return Ok(vec![opened]);
    };
    let found = timeout_at(deadline, lookup_host((name.as_str(), 0))).await;
    let unknown = |error: std::io::Error| Error::Unreachable(error.to_string());
    let found = found.map_err(|_| silent())?.map_err(unknown)?;
    let mut attempts: Vec<_> = found
        .map(|address| {
            // Keep the host name for the certificate check.
            let mut config = config.clone();
            config.hostaddr(address.ip());
            Attempt {
                place: address.ip().to_string(),
                connecting: connect_address(config, tls, transports, deadline),
            }
        })
        .collect();
    if is_shuffled(&config) {
        attempts.sort_by_cached_key(|_| Uuid::new_v4());
    }
    race(attempts, until(wanted)).await
}

/// Connects by the first transport that the server accepts.
async fn connect_address(
    mut config: Config,
    tls: &Tls,
    transports: &[SslMode],
    deadline: Instant,
) -> Result<Opened, Error> {
    let mut rejected = Vec::new();
    for transport in transports {
        config.ssl_mode(*transport);
        let connected = timeout_at(deadline, Box::pin(config.connect(tls.connector()))).await;
        match connected.map_err(|_| silent())? {
            Ok(opened) => return Ok(opened),
            Err(error) if is_rejection(&error) => rejected.push(cannot_connect(&error)),
            Err(error) => return Err(cannot_connect(&error)),
        }
    }
    // As libpq, which reports each attempt.
    let mut messages: Vec<String> = rejected.iter().map(Error::to_string).collect();
    messages.dedup();
    match rejected.pop() {
        Some(error) if messages.len() < 2 => Err(error),
        _ => Err(Error::Refused(messages.join("; "))),
    }
}

/// Whether another transport may succeed: the handshake failed, or the server does not accept this
/// one.
fn is_rejection(error: &tokio_postgres::Error) -> bool {
    let refused = error
        .code()
        .is_some_and(|code| code.code().starts_with("28"));
    refused || distrust(error).is_some()
}

fn silent() -> Error {
    Error::Unreachable("no connection in time".to_owned())
}

fn cannot_connect(error: &tokio_postgres::Error) -> Error {
    if let Some(sentence) = distrust(error) {
        return Error::Refused(format!("database: {sentence}"));
    }
    let sentence = describe(error);
    match error.code().map(|code| code.code().get(..2).unwrap_or("")) {
        // Wrong password, role or database: a retry cannot succeed.
        Some("28" | "3D") => Error::Refused(format!("database: {sentence}")),
        _ => Error::Unreachable(sentence),
    }
}

/// Returns a sentence if one side rejects the other's certificate or does not support TLS, so that
/// a retry cannot succeed. A connection lost during the handshake is retryable.
fn distrust(error: &tokio_postgres::Error) -> Option<String> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<std::io::Error>();
        let inner = inner.and_then(std::io::Error::get_ref);
        if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(tls::distrust(inner).unwrap_or_else(|| describe(error)));
        }
        if cause.to_string() == "server does not support TLS" {
            return Some(describe(error));
        }
        source = cause.source();
    }
    None
}
