//! Further names of the server: those of `--tls-san` and `--advertise-url`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use api_types::names;
use http::Uri;

/// A DNS name or an address, which a certificate can be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// The URL of the server for its clients: `https://HOST`, `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvertiseUrl {
    /// Without a slash at the end.
    url: String,
    host: Name,
}

impl Name {
    /// The name; an address in its canonical form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AdvertiseUrl {
    /// The host, without the brackets of an address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.as_str()
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        // As in a certificate, the first label may be a wildcard.
        let plain = text.strip_prefix("*.").unwrap_or(text);
        if names::dns1123_subdomain(plain).is_empty() {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be a DNS name or an address, such as ark.example.com or 10.0.0.1".to_owned())
        }
    }
}

impl FromStr for AdvertiseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "must be https://HOST or https://HOST:PORT".to_owned();
        let uri: Uri = text.parse().map_err(|_| wanted())?;
        let authority = uri.authority().ok_or_else(wanted)?;
        let is_plain = uri.scheme_str() == Some("https")
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !authority.as_str().contains('@');
        // A port that is no number is dropped by the parser.
        let host = authority.host();
        let port = authority.as_str().get(host.len()..).unwrap_or_default();
        let port_fits = port.is_empty() || authority.port_u16().is_some_and(|port| port > 0);
        if !is_plain || !port_fits {
            return Err(wanted());
        }
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let host: Name = bare.unwrap_or(host).parse().map_err(|_| wanted())?;
        if host.as_str().starts_with('*') {
            return Err(wanted());
        }
        Ok(Self {
            url: format!("https://{authority}"),
            host,
        })
    }
}

impl fmt::Display for AdvertiseUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_urls_are_parsed() {
        for (text, host, url) in [
            (
                "https://ark.example.com",
                "ark.example.com",
                "https://ark.example.com",
            ),
            (
                "https://10.0.0.1:6443/",
                "10.0.0.1",
                "https://10.0.0.1:6443",
            ),
            (
                "https://[fd00::1]:6443",
                "fd00::1",
                "https://[fd00::1]:6443",
            ),
        ] {
            let parsed: AdvertiseUrl = text.parse().unwrap();
            assert_eq!((parsed.host(), &*parsed.to_string()), (host, url));
        }
        for text in [
            "",
            "ark.example.com",
            "http://ark.example.com",
            "https://",
            "https://a:b",
            "https://a:0",
            "https://a:99999",
            "https://user@a",
            "https://a/path",
            "https://a?b",
            "https://A_B",
            "https://*.example.com",
        ] {
            let error = text.parse::<AdvertiseUrl>().unwrap_err();
            assert!(error.contains("https://HOST"), "{text}");
        }
        for text in ["ark.example.com", "*.example.com", "10.0.0.1", "::1"] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
        for text in ["", "a_b", "a:1", "https://a", "*", "a.*.b"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
