//! New connections. Attempts to every address of every host start one after the other without
//! waiting for the previous to fail, so that a dead host does not delay the others.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::config::{Host, LoadBalanceHosts, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use crate::error::{Error, describe};
use crate::options::{Password, Target};
use crate::tls::Tls;

/// Timeout of a new connection, over all hosts.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Delay between the starts of two attempts; shorter if there are many hosts.
const HEAD_START: Duration = Duration::from_millis(300);

/// A client, and the future that moves its messages.
pub(crate) type Opened = (
    Client,
    Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
);

/// A connection attempt to one host or address.
struct Attempt<F> {
    place: String,
    connecting: F,
}

/// Connects to the first host that responds and accepts writes.
pub(crate) async fn connect(target: &Target) -> Result<Opened, Error> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let password = match &target.password {
        Password::Configured => None,
        Password::File(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            Error::Refused(format!("--password-file {}: {error}", path.display()))
        })?),
    };
    let mut attempts = Vec::new();
    for config in &target.hosts {
        let mut config = config.clone();
        if let Some(password) = &password {
            config.password(password.trim_end_matches(['\r', '\n']));
        }
        if config.get_application_name().is_none() {
            config.application_name("backend-postgres");
        }
        config
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .tcp_user_timeout(Duration::from_secs(5))
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3);
        attempts.push(Attempt {
            place: place(&config),
            connecting: connect_host(config, &target.tls, deadline),
        });
    }
    let first = target.hosts.first();
    if first.is_some_and(is_shuffled) {
        attempts.sort_by_cached_key(|_| Uuid::new_v4());
    }
    first_of(attempts).await
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

/// Connects to any address of one host.
async fn connect_host(config: Config, tls: &Tls, deadline: Instant) -> Result<Opened, Error> {
    let ([Host::Tcp(name)], []) = (config.get_hosts(), config.get_hostaddrs()) else {
        return connect_address(config, tls, deadline).await;
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
                connecting: connect_address(config, tls, deadline),
            }
        })
        .collect();
    if is_shuffled(&config) {
        attempts.sort_by_cached_key(|_| Uuid::new_v4());
    }
    first_of(attempts).await
}

async fn connect_address(config: Config, tls: &Tls, deadline: Instant) -> Result<Opened, Error> {
    let connected = timeout_at(deadline, config.connect(tls.connector())).await;
    connected
        .map_err(|_| silent())?
        .map_err(|error| cannot_connect(&error))
}

fn silent() -> Error {
    Error::Unreachable("no connection in time".to_owned())
}

/// Returns the first success. A failed attempt starts the next at once.
async fn first_of<T, F>(attempts: Vec<Attempt<F>>) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let count = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
    let head_start = HEAD_START.min(CONNECT_TIMEOUT / count.saturating_add(1));
    let mut failures = Vec::new();
    let mut waiting = attempts.into_iter().enumerate();
    let mut running = FuturesUnordered::new();
    loop {
        if let Some((number, attempt)) = waiting.next() {
            let Attempt { place, connecting } = attempt;
            running.push(async move { (number, place, connecting.await) });
        } else if running.is_empty() {
            return Err(all_failed(failures));
        }
        tokio::select! {
            Some((number, place, ended)) = running.next() => match ended {
                Ok(connected) => return Ok(connected),
                Err(error) => failures.push((number, place, error)),
            },
            () = sleep(head_start), if waiting.len() > 0 => {}
        }
    }
}

/// Combines the errors of all attempts. Retryable if any of them is.
fn all_failed(mut failures: Vec<(usize, String, Error)>) -> Error {
    failures.sort_by_key(|(number, ..)| *number);
    if failures.len() == 1
        && let Some((.., error)) = failures.pop()
    {
        return error;
    }
    let outage = failures.is_empty() || failures.iter().any(|(.., error)| error.is_outage());
    let messages = failures.iter().map(|(_, place, error)| match error {
        Error::Unreachable(message) => format!("{place}: {message}"),
        error => format!("{place}: {error}"),
    });
    let messages = messages.collect::<Vec<_>>().join("; ");
    match (outage, messages.is_empty()) {
        (true, true) => Error::Unreachable("the host has no address".to_owned()),
        (true, false) => Error::Unreachable(messages),
        (false, _) => Error::Refused(messages),
    }
}

fn cannot_connect(error: &tokio_postgres::Error) -> Error {
    let sentence = describe(error);
    if is_distrust(error) {
        return Error::Refused(format!("database: {sentence}"));
    }
    match error.code().map(|code| code.code().get(..2).unwrap_or("")) {
        // Wrong password, role or database: a retry cannot succeed.
        Some("28" | "3D") => Error::Refused(format!("database: {sentence}")),
        _ => Error::Unreachable(sentence),
    }
}

/// Whether one side rejects the other's certificate or does not support TLS, so that a retry cannot
/// succeed. A connection lost during the handshake is retryable.
fn is_distrust(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<std::io::Error>();
        let inner = inner.and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        if cause.to_string() == "server does not support TLS" {
            return true;
        }
        source = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::{Attempt, Error, first_of};

    type Connecting = Pin<Box<dyn Future<Output = Result<u32, Error>>>>;

    fn attempts(all: Vec<Connecting>) -> Vec<Attempt<Connecting>> {
        let numbered = all.into_iter().enumerate();
        numbered
            .map(|(number, connecting)| Attempt {
                place: format!("h{number}"),
                connecting,
            })
            .collect()
    }

    fn never() -> Connecting {
        Box::pin(std::future::pending())
    }

    fn ready(result: Result<u32, Error>) -> Connecting {
        Box::pin(std::future::ready(result))
    }

    fn down() -> Result<u32, Error> {
        Err(Error::Unreachable("down".to_owned()))
    }

    fn wrong() -> Result<u32, Error> {
        Err(Error::Refused("wrong password".to_owned()))
    }

    #[tokio::test]
    async fn unresponsive_host_is_skipped() {
        let connected = first_of(attempts(vec![
            never(),
            never(),
            ready(down()),
            ready(Ok(3)),
        ]))
        .await;
        assert_eq!(connected.expect("a connection"), 3);
    }

    #[tokio::test]
    async fn live_host_is_used_regardless_of_its_position() {
        let slow: Connecting = Box::pin(async {
            tokio::time::sleep(super::HEAD_START * 2).await;
            Ok(0)
        });
        let connected = first_of(attempts(vec![slow, ready(down()), never()])).await;
        assert_eq!(connected.expect("a connection"), 0);
    }

    #[tokio::test]
    async fn connection_error_is_retryable_if_any_host_is() {
        let failed = first_of(attempts(vec![ready(wrong()), ready(down())])).await;
        let error = failed.expect_err("all failed");
        assert!(error.is_outage());
        let messages = error.to_string();
        assert_eq!(messages, "database: h0: wrong password; h1: down");
        let failed = first_of(attempts(vec![ready(wrong()), ready(wrong())])).await;
        assert!(matches!(failed, Err(Error::Refused(_))), "{failed:?}");
        let failed = first_of(attempts(vec![ready(wrong())])).await;
        assert_eq!(failed.expect_err("one").to_string(), "wrong password");
    }
}
