//! The address of a webhook.

use http::Uri;

use crate::kube::informer::webhooks::ClientConfig;

/// Where a webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// Host and port as in the URL; the `Host` header.
    pub(super) authority: String,
    /// Name in the certificate: host without port and brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Begins with a slash.
    pub(super) path: String,
    /// The Service, namespace first, if the webhook is one.
    pub(super) service: Option<(String, String)>,
}

impl Location {
    /// Reads the address of a webhook.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn of(config: &ClientConfig) -> Result<Self, String> {
        if let Some(service) = &config.service {
            let port = service.port.unwrap_or(443);
            let host = format!("{}.{}.svc", service.name, service.namespace);
            return Ok(Self {
                authority: format!("{host}:{port}"),
                host,
                port,
                path: clean(service.path.as_deref().unwrap_or_default()),
                service: Some((service.namespace.clone(), service.name.clone())),
            });
        }
        let Some(url) = config.url.as_deref().filter(|url| !url.is_empty()) else {
            return Err("webhook configuration must have either service or URL".to_owned());
        };
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("Unparsable URL: {error}"))?;
        let authority = uri
            .authority()
            .filter(|_| uri.scheme_str() == Some("https"));
        let Some(authority) = authority else {
            return Err(format!("Unparsable URL: {url:?} is not an https URL"));
        };
        let host = authority.host();
        Ok(Self {
            authority: authority.to_string(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(443),
            path: clean(uri.path()),
            service: None,
        })
    }

    /// Host and port, by which credentials are chosen.
    pub(super) fn host_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The URL of a path and query, for errors.
    pub(super) fn url(&self, target: &str) -> String {
        format!("https://{}{target}", self.authority)
    }
}

/// Go's `path.Join("/", path)`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::informer::webhooks::ServiceReference;

    fn check(config: &ClientConfig, expected: Result<(&str, &str), &str>) {
        let location = Location::of(config);
        let shown = location.map(|it| (it.url(&format!("{}?timeout=1s", it.path)), it.host_port()));
        let expected = expected.map(|(url, host)| (url.to_owned(), host.to_owned()));
        assert_eq!(shown, expected.map_err(str::to_owned));
    }

    fn url(url: &str) -> ClientConfig {
        ClientConfig {
            url: Some(url.to_owned()),
            ..ClientConfig::default()
        }
    }

    #[test]
    fn location_is_that_of_kube_apiserver() {
        check(
            &url("https://hooks.example.com/a//b/../c/"),
            Ok((
                "https://hooks.example.com/a/c?timeout=1s",
                "hooks.example.com:443",
            )),
        );
        check(
            &url("https://[::1]:8443"),
            Ok(("https://[::1]:8443/?timeout=1s", "[::1]:8443")),
        );
        let service = ServiceReference {
            namespace: "ns".to_owned(),
            name: "hook".to_owned(),
            path: Some("check".to_owned()),
            port: None,
        };
        let config = ClientConfig {
            service: Some(service),
            ..ClientConfig::default()
        };
        check(
            &config,
            Ok((
                "https://hook.ns.svc:443/check?timeout=1s",
                "hook.ns.svc:443",
            )),
        );
        let none = "webhook configuration must have either service or URL";
        check(&ClientConfig::default(), Err(none));
        let plain = "Unparsable URL: \"http://x/\" is not an https URL";
        check(&url("http://x/"), Err(plain));
    }
}
