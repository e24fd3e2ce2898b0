//! The listen address of a standalone server, and its URL for clients.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use api_types::names;

/// `HOST:PORT`; the host is a name or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    host: String,
    port: u16,
}

impl Listen {
    /// The address to bind: the first that the name resolves to.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The names and addresses of the serving certificate: for a wildcard those of the machine.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let host = std::iter::once(self.reachable());
        for name in host.chain(self.of_machine()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Host name and addresses of the machine that a wildcard covers.
    fn of_machine(&self) -> Vec<String> {
        let Ok(wildcard) = self.host.parse::<IpAddr>() else {
            return Vec::new();
        };
        if !wildcard.is_unspecified() {
            return Vec::new();
        }
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let mut names: Vec<String> = Some(name)
            .filter(|name| names::dns1123_subdomain(name).is_empty())
            .into_iter()
            .collect();
        let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read the addresses of this machine, see --tls-san");
            Vec::new()
        });
        let mut addresses: Vec<IpAddr> = interfaces
            .iter()
            .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
            .map(|interface| interface.ip())
            // `[::]` covers both families.
            .filter(|address| address.is_ipv4() || wildcard.is_ipv6())
            .collect();
        addresses.sort_unstable();
        names.extend(addresses.iter().map(IpAddr::to_string));
        names
    }

    /// The URL of the bound socket for clients of this machine.
    #[must_use]
    pub fn url(&self, bound: SocketAddr) -> String {
        let host = self.reachable();
        let port = bound.port();
        if host.parse::<Ipv6Addr>().is_ok() {
            format!("https://[{host}]:{port}")
        } else {
            format!("https://{host}:{port}")
        }
    }

    /// The host; the loopback address if it is a wildcard.
    fn reachable(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Ipv4Addr::LOCALHOST.to_string(),
            Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Ipv6Addr::LOCALHOST.to_string(),
            _ => self.host.clone(),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "must be HOST:PORT, such as 127.0.0.1:6443".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(wanted)?;
        let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let host = match bracketed {
            Some(address) => address
                .parse::<Ipv6Addr>()
                .map_err(|_| wanted())?
                .to_string(),
            None if host.is_empty() || host.contains([':', '/']) => return Err(wanted()),
            None => host.to_owned(),
        };
        let port = port.parse().map_err(|_| wanted())?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, url: &str, names: &[&str]) {
        let listen: Listen = text.parse().unwrap();
        assert_eq!(listen.to_string(), text);
        let bound = SocketAddr::from(([127, 0, 0, 1], 7000));
        assert_eq!(listen.url(bound), url, "{text}");
        let own = listen.names();
        assert_eq!(own[..names.len()], *names, "{text}");
        let wildcard = text.starts_with("0.0.0.0:") || text.starts_with("[::]:");
        assert!(wildcard || own.len() == names.len(), "{own:?}");
        assert!(own.iter().all(|name| name.parse::<crate::Name>().is_ok()));
    }

    #[test]
    fn url_matches_bound_address() {
        let local = ["localhost", "127.0.0.1"];
        check("127.0.0.1:0", "https://127.0.0.1:7000", &local);
        check("localhost:6443", "https://localhost:7000", &local);
        check("0.0.0.0:6443", "https://127.0.0.1:7000", &local);
        let six = ["localhost", "127.0.0.1", "::1"];
        check("[::]:6443", "https://[::1]:7000", &six);
        check("[::1]:6443", "https://[::1]:7000", &six);
        let named = ["localhost", "127.0.0.1", "ark.example.com"];
        check("ark.example.com:1", "https://ark.example.com:7000", &named);
    }

    #[test]
    fn invalid_listen_address_is_rejected() {
        for text in [
            "",
            "6443",
            ":6443",
            "127.0.0.1",
            "::1:6443",
            "h:99999",
            "[x]:1",
        ] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.contains("HOST:PORT"), "{text}");
        }
    }
}
