//! Options of connecting to a database.

mod security;

use std::path::PathBuf;
use std::time::SystemTime;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::dsn::{self, Dsn};
use crate::error::Error;
use crate::parameters::{self, Environment};
use crate::passfile;
use crate::tls::Tls;

/// Flags of the driver, named after libpq's parameters where one exists.
#[derive(Clone, clap::Args)]
pub struct Arguments {
    /// Connection string with all parameters:
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`, or `host=… dbname=…`. Flags
    /// override it. Prefer the environment variable, because other users can read command lines.
    #[arg(
        long,
        env = "ARK_BACKEND_POSTGRES_DSN",
        value_name = "DSN",
        hide_env_values = true
    )]
    pub dsn: Option<String>,

    /// Server host. Several, separated by commas, are tried for the one that accepts writes. A path
    /// is the directory of a unix socket.
    #[arg(long, env = "ARK_BACKEND_POSTGRES_HOST", value_name = "HOST")]
    pub host: Option<String>,

    /// Port of the server [default: 5432].
    #[arg(long, env = "ARK_BACKEND_POSTGRES_PORT", value_name = "PORT")]
    pub port: Option<u16>,

    /// Database name.
    #[arg(long, env = "ARK_BACKEND_POSTGRES_DATABASE", value_name = "NAME")]
    pub database: Option<String>,

    /// Role to log in as.
    #[arg(long, env = "ARK_BACKEND_POSTGRES_USERNAME", value_name = "ROLE")]
    pub username: Option<String>,

    /// File that holds the password; read again for every connection. The environment variable
    /// ARK_BACKEND_POSTGRES_PASSWORD works too.
    #[arg(long, env = "ARK_BACKEND_POSTGRES_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// TLS mode, as in libpq: disable, allow, prefer, require, verify-ca or verify-full
    /// [default: prefer].
    #[arg(long, env = "ARK_BACKEND_POSTGRES_SSLMODE", value_name = "MODE")]
    pub sslmode: Option<String>,

    /// Certificate authority of the server's certificate, PEM; `system` for those of the operating
    /// system.
    #[arg(long, env = "ARK_BACKEND_POSTGRES_SSLROOTCERT", value_name = "FILE")]
    pub sslrootcert: Option<PathBuf>,

    /// Client certificate, PEM.
    #[arg(long, env = "ARK_BACKEND_POSTGRES_SSLCERT", value_name = "FILE")]
    pub sslcert: Option<PathBuf>,

    /// Private key of the client certificate, PEM.
    #[arg(long, env = "ARK_BACKEND_POSTGRES_SSLKEY", value_name = "FILE")]
    pub sslkey: Option<PathBuf>,

    /// Pooler in front of the database: `none`, a `session` pooler, or a `transaction` pooler,
    /// which drops session state after each transaction.
    #[arg(
        long,
        env = "ARK_BACKEND_POSTGRES_POOLER",
        value_name = "KIND",
        default_value = "none"
    )]
    pub pooler: Pooler,

    /// Connection string for notifications of changes by other sidecars; needed if the other flags
    /// lead to a transaction pooler, which does not support LISTEN. With `none`, changes by others
    /// are polled every 0.25 s.
    #[arg(
        long,
        env = "ARK_BACKEND_POSTGRES_NOTIFY_DSN",
        value_name = "DSN",
        hide_env_values = true
    )]
    pub notify_dsn: Option<String>,
}

/// Pooler between the driver and the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pooler {
    /// No pooler.
    None,
    /// A pooler that assigns a server connection for the life of the client connection.
    Session,
    /// A pooler that assigns a server connection for one transaction.
    Transaction,
}

/// Source of the password of each connection.
#[derive(Clone, Debug)]
pub(crate) enum Password {
    /// In the configuration, or absent.
    Configured,
    /// Read for each connection, so that the password can change at runtime.
    File(PathBuf),
    /// A password file of libpq, likewise.
    Passfile(PathBuf),
}

/// Address and credentials of the database.
#[derive(Clone, Debug)]
pub struct Target {
    /// One configuration per host, in the order of attempts.
    pub(crate) hosts: Vec<Config>,
    pub(crate) password: Password,
    pub(crate) tls: Tls,
    /// Modes of a connection: each is tried after the server has rejected the one before.
    pub(crate) transports: &'static [SslMode],
}

/// Options of the driver.
#[derive(Clone, Debug)]
pub struct Options {
    /// Database that holds the store.
    pub(crate) target: Target,
    /// Connection for notifications; `None` if they are not used.
    pub(crate) notify: Option<Target>,
    /// Whether a pooler drops session state after each transaction.
    pub(crate) pooled: bool,
    /// Clock for the numbers of epochs.
    pub(crate) clock: fn() -> SystemTime,
}

impl Options {
    /// Builds the options from flags.
    ///
    /// # Errors
    /// A message that names the flag and its problem.
    pub fn new(arguments: &Arguments) -> Result<Self, Error> {
        let target = Target::new(arguments)?;
        let pooled = arguments.pooler == Pooler::Transaction;
        let notify = match arguments.notify_dsn.as_deref() {
            Some("none") => None,
            Some(dsn) => Some(Target::new(&Arguments {
                dsn: Some(dsn.to_owned()),
                host: None,
                port: None,
                ..arguments.clone()
            })?),
            // LISTEN is session state, which a transaction pooler drops.
            None if pooled => None,
            None => Some(target.clone()),
        };
        Ok(Self {
            target,
            notify,
            pooled,
            clock: SystemTime::now,
        })
    }

    /// Options for a direct connection to the database of a connection string.
    ///
    /// # Errors
    /// A message about the connection string.
    pub fn from_dsn(dsn: &str) -> Result<Self, Error> {
        let target = Target::from_dsn(Dsn::parse(dsn)?, &variable)?;
        Ok(Self {
            notify: Some(target.clone()),
            target,
            pooled: false,
            clock: SystemTime::now,
        })
    }

    /// Replaces the clock for the numbers of epochs.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }
}

impl Target {
    /// Returns a target for each host if there are several.
    pub(crate) fn several(&self) -> Vec<Self> {
        let hosts = self.hosts.iter().filter(|_| self.hosts.len() > 1);
        let one = |host: &Config| Self {
            hosts: vec![host.clone()],
            ..self.clone()
        };
        hosts.map(one).collect()
    }

    fn new(arguments: &Arguments) -> Result<Self, Error> {
        let mut dsn = match arguments.dsn.as_deref() {
            Some(text) => Dsn::parse(text)?,
            None => Dsn::default(),
        };
        let set = |value: &Option<String>, key: &str, dsn: &mut Dsn| {
            if let Some(value) = value {
                dsn.set(key, value);
            }
        };
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        set(&arguments.host, "host", &mut dsn);
        set(
            &arguments.port.map(|port| port.to_string()),
            "port",
            &mut dsn,
        );
        set(&arguments.database, "dbname", &mut dsn);
        set(&arguments.username, "user", &mut dsn);
        set(&arguments.sslmode, "sslmode", &mut dsn);
        set(&text(&arguments.sslrootcert), "sslrootcert", &mut dsn);
        set(&text(&arguments.sslcert), "sslcert", &mut dsn);
        set(&text(&arguments.sslkey), "sslkey", &mut dsn);
        let mut target = Self::from_dsn(dsn, &variable)?;
        if let Some(file) = &arguments.password_file {
            target.password = Password::File(file.clone());
        } else if let Ok(password) = std::env::var("ARK_BACKEND_POSTGRES_PASSWORD") {
            target.password = Password::Configured;
            for config in &mut target.hosts {
                config.password(&password);
            }
        }
        Ok(target)
    }

    fn from_dsn(dsn: Dsn, environment: Environment<'_>) -> Result<Self, Error> {
        let mut dsn = parameters::complete(dsn, environment)?;
        let (tls, transports) = security::take(&mut dsn, environment)?;
        require_primary(dsn.take("target_session_attrs").as_deref())?;
        let passfile = dsn.take("passfile").map(PathBuf::from);
        let passfile = passfile.or_else(|| Some(parameters::home(environment)?.join(".pgpass")));
        if let Some(name) = dsn.take("fallback_application_name") {
            dsn.set_default("application_name", &name);
        }
        let password = match passfile {
            Some(path) if dsn.get("password").is_none() => {
                if passfile::is_exposed(&path) {
                    let path = path.display();
                    tracing::warn!("password file {path} is ignored: others may read it");
                }
                Password::Passfile(path)
            }
            _ => Password::Configured,
        };
        let hosts = dsn.hosts()?;
        let Some(first) = hosts.first() else {
            return Err(dsn::refuse("no server: give --host or --dsn"));
        };
        if first.get_dbname().is_none() || first.get_user().is_none() {
            return Err(dsn::refuse("give the database and the role to log in as"));
        }
        Ok(Self {
            hosts,
            password,
            tls: Tls::new(tls)?,
            transports,
        })
    }
}

/// Reads a variable of the process's environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Rejects what excludes the primary, which the driver always uses.
fn require_primary(attributes: Option<&str>) -> Result<(), Error> {
    match attributes {
        None | Some("any" | "read-write" | "primary" | "prefer-standby") => Ok(()),
        Some(found @ ("read-only" | "standby")) => Err(dsn::refuse(&format!(
            "target_session_attrs={found}: the driver needs the server that accepts writes"
        ))),
        Some(_) => Err(dsn::refuse(
            "target_session_attrs must be any, read-write, primary or prefer-standby",
        )),
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::{Host, SslMode};

    use super::Options;

    #[test]
    fn dsn_is_interpreted_as_in_libpq() {
        let options = Options::from_dsn("postgres://ark:s%40c@db:6000/store?sslmode=require");
        let target = options.expect("read").target;
        let config = target.hosts.first().expect("a host");
        assert_eq!(config.get_hosts(), [Host::Tcp("db".to_owned())]);
        assert_eq!(config.get_ports(), [6000]);
        assert_eq!(config.get_user(), Some("ark"));
        assert_eq!(config.get_password(), Some(b"s@c".as_slice()));
        assert_eq!(config.get_dbname(), Some("store"));
        assert_eq!(target.transports, [SslMode::Require]);
    }

    #[test]
    fn each_host_has_a_configuration() {
        let options = Options::from_dsn("postgres://ark@a:1,b/store");
        let hosts = options.expect("read").target.hosts;
        let places: Vec<_> = hosts
            .iter()
            .map(|config| (config.get_hosts().to_vec(), config.get_ports().to_vec()))
            .collect();
        let tcp = |name: &str| vec![Host::Tcp(name.to_owned())];
        assert_eq!(places, [(tcp("a"), vec![1]), (tcp("b"), vec![5432])]);
        let options = Options::from_dsn("host=a,b port=6000 user=ark dbname=store");
        let hosts = options.expect("read").target.hosts;
        assert!(hosts.iter().all(|config| config.get_ports() == [6000]));
    }

    #[test]
    fn unsupported_options_are_rejected_with_reason() {
        for (dsn, part) in [
            (
                "postgres://ark@db/store?sslmode=verify-full",
                "needs sslrootcert",
            ),
            (
                "postgres://ark@db/store?sslmode=require&sslrootcert=system",
                "use verify-full",
            ),
            (
                "postgres://ark@db/store?target_session_attrs=standby",
                "that accepts writes",
            ),
            (
                "postgres://ark@db/store?ssl_min_protocol_version=TLSv1.4",
                "TLSv1.2 or TLSv1.3",
            ),
            (
                "hostaddr=127.0.0.1 user=ark dbname=x sslmode=verify-full sslrootcert=system",
                "host name must be specified",
            ),
            ("host=db user=ark dbname=x sslmode=maybe", "must be disable"),
            ("user=ark dbname=x", "no server"),
            ("host=a,b port=1,2,3 user=ark dbname=x", "port names 3"),
            ("host=db", "give the database"),
            ("host=db user=ark dbname=x colour=red", "colour"),
            ("mysql://x", "must begin with postgres://"),
        ] {
            let error = Options::from_dsn(dsn).map(drop).expect_err(dsn).to_string();
            assert!(error.contains(part), "{dsn}: {error}");
        }
    }

    #[test]
    fn address_without_name_is_a_host() {
        let options = Options::from_dsn("hostaddr=127.0.0.1,::1 port=1,2 user=ark dbname=store");
        let hosts = options.expect("read").target.hosts;
        let addresses: Vec<_> = hosts
            .iter()
            .flat_map(|config| config.get_hostaddrs().to_vec())
            .map(|address| address.to_string())
            .collect();
        assert_eq!(addresses, ["127.0.0.1", "::1"]);
    }

    #[test]
    fn passwords_are_not_printed() {
        let options = Options::from_dsn("postgres://ark:hush@db/store").expect("read");
        assert!(!format!("{options:?}").contains("hush"));
    }
}
