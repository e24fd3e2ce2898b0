//! Settings of a server.

use std::path::{Path, PathBuf};

/// Builder of a server; [`Builder::start`] starts it.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) fsync: bool,
    pub(crate) without_tcp: bool,
    pub(crate) port: Option<u16>,
    pub(crate) tls: Option<Tls>,
    pub(crate) users: Vec<(String, String)>,
    pub(crate) unique: bool,
    pub(crate) rules: Vec<String>,
}

/// TLS files of a server.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) only: bool,
    pub(crate) clients: Option<PathBuf>,
}

/// Copies of the TLS files that the server's account can read.
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) clients: Option<PathBuf>,
}

/// Paths for the server's configuration.
pub(crate) struct Layout<'a> {
    pub(crate) sockets: &'a Path,
    pub(crate) port: u16,
    pub(crate) tls: Option<TlsFiles>,
}

// === impl Builder ===

impl Builder {
    /// Adds a setting of `postgresql.conf`; the last one of a name wins, also over this crate's
    /// own.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets whether commits are flushed to disk. Without it (the default) they survive a crash of
    /// the server, but not of the machine, and are faster.
    #[must_use]
    pub fn fsync(mut self, on: bool) -> Self {
        self.fsync = on;
        self
    }

    /// Disables TCP; the unix socket is always available.
    #[must_use]
    pub fn without_tcp(mut self) -> Self {
        self.without_tcp = true;
        self
    }

    /// Sets the TCP port on 127.0.0.1, which also names the socket; otherwise a free one is chosen.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Offers TLS over TCP with a certificate and its key in PEM files, which are copied.
    #[must_use]
    pub fn tls(mut self, certificate: &Path, key: &Path) -> Self {
        self.tls = Some(Tls {
            certificate: certificate.to_path_buf(),
            key: key.to_path_buf(),
            only: false,
            clients: None,
        });
        self
    }

    /// Sets the authority of client certificates, a PEM file, which is copied; call after
    /// [`Self::tls`].
    #[must_use]
    pub fn client_authority(mut self, authority: &Path) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.clients = Some(authority.to_path_buf());
        }
        self
    }

    /// Adds a line of `pg_hba.conf` before all others, such as `hostssl all app all cert`.
    #[must_use]
    pub fn access_rule(mut self, line: &str) -> Self {
        self.rules.push(line.to_owned());
        self
    }

    /// As [`Self::tls`], and rejects TCP connections without it.
    #[must_use]
    pub fn tls_only(mut self, certificate: &Path, key: &Path) -> Self {
        self = self.tls(certificate, key);
        if let Some(tls) = &mut self.tls {
            tls.only = true;
        }
        self
    }

    /// Adds a user with a password (SCRAM-SHA-256), required on the socket too; the superuser
    /// `postgres` needs none.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Initializes a cluster with a unique system identifier, for tests in which identity matters;
    /// takes seconds longer.
    #[must_use]
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Builds `postgresql.conf`.
    pub(crate) fn configuration(&self, layout: &Layout<'_>) -> String {
        let address = if self.without_tcp { "" } else { "127.0.0.1" };
        let on = |on: bool| if on { "on" } else { "off" };
        let mut lines = vec![
            ("listen_addresses", address.to_owned()),
            ("port", layout.port.to_string()),
            (
                "unix_socket_directories",
                layout.sockets.display().to_string(),
            ),
            ("fsync", on(self.fsync).to_owned()),
            ("full_page_writes", on(self.fsync).to_owned()),
            // In files of the data directory: segments in /dev/shm outlive a killed server.
            ("dynamic_shared_memory_type", "mmap".to_owned()),
            ("log_line_prefix", "%m [%p] %u@%d ".to_owned()),
            ("timezone", "UTC".to_owned()),
            ("datestyle", "ISO".to_owned()),
        ];
        if let Some(tls) = &layout.tls {
            lines.push(("ssl", "on".to_owned()));
            lines.push(("ssl_cert_file", tls.certificate.display().to_string()));
            lines.push(("ssl_key_file", tls.key.display().to_string()));
            if let Some(clients) = &tls.clients {
                lines.push(("ssl_ca_file", clients.display().to_string()));
            }
        }
        let own = lines.iter().map(|(name, value)| line(name, value));
        let wanted = self.settings.iter().map(|(name, value)| line(name, value));
        own.chain(wanted).collect()
    }

    /// Builds `pg_hba.conf`.
    pub(crate) fn access(&self) -> String {
        let mut lines: Vec<&str> = self.rules.iter().map(String::as_str).collect();
        lines.extend([
            "local all postgres trust",
            "local replication postgres trust",
            "local all all scram-sha-256",
        ]);
        if self.tls.as_ref().is_some_and(|tls| tls.only) {
            lines.push("hostnossl all all all reject");
        }
        lines.extend([
            "host all postgres 127.0.0.1/32 trust",
            "host replication postgres 127.0.0.1/32 trust",
            "host all all 127.0.0.1/32 scram-sha-256",
        ]);
        lines.join("\n") + "\n"
    }
}

/// Formats a line of `postgresql.conf`.
pub(crate) fn line(name: &str, value: &str) -> String {
    format!("{name} = {}\n", literal(value))
}

/// Quotes a literal for SQL and `postgresql.conf`.
pub(crate) fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// Quotes an identifier for SQL.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Builder, Layout, identifier, line};

    #[test]
    fn setting_of_test_overrides_default() {
        let layout = Layout {
            sockets: Path::new("/s"),
            port: 7,
            tls: None,
        };
        let text = Builder::default()
            .setting("fsync", "on")
            .configuration(&layout);
        assert!(text.ends_with("fsync = 'on'\n"), "{text}");
        assert!(text.contains("fsync = 'off'\n"), "{text}");
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(line("a", "it's"), "a = 'it''s'\n");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn tls_only_rejects_plain_tcp_first() {
        let (certificate, key) = (Path::new("/c"), Path::new("/k"));
        let text = Builder::default().tls_only(certificate, key).access();
        let position = text.find("hostnossl").expect("a refusal");
        assert!(
            position < text.find("host all postgres").expect("trust"),
            "{text}"
        );
    }
}
