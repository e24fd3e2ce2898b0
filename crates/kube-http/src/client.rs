//! HTTP client of one kube-apiserver.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use serde_json::Value;
use tokio::time::timeout;

use crate::Error;
use crate::kubeconfig::Kubeconfig;

/// Timeout of the TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of the next bytes of a response. kube-apiserver itself times out after one minute.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);

/// Remedy for errors of TLS that concern a certificate.
const CERTIFICATE_REMEDY: &str = ". Set the authority that signed the server's certificate \
    (certificate-authority of a kubeconfig), or a client certificate that the server's client \
    authority signed (client-certificate)";

/// An HTTP/1.1 client with the credentials of a kubeconfig.
#[derive(Clone, Debug)]
pub struct Client {
    server: String,
    token: Option<String>,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// Creates a client for the kubeconfig's server; without `identity` it sends no credentials.
    ///
    /// # Errors
    /// If the kubeconfig's certificates are malformed.
    pub fn new(config: &Kubeconfig, identity: bool) -> Result<Self, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tls = tls(config, identity).map_err(Error::Certificates)?;
        let mut connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only();
        if let Some(name) = &config.tls_server_name {
            let name = ServerName::try_from(name.clone());
            let name = name.map_err(|error| Error::Certificates(error.to_string()))?;
            connector = connector.with_server_name_resolver(FixedServerNameResolver::new(name));
        }
        let connector = connector.enable_http1().wrap_connector(tcp);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Self {
            server: config.server.trim_end_matches('/').to_owned(),
            token: config.token.clone().filter(|_| identity),
            pool,
        })
    }

    /// Sends a request; `path` may hold characters that a URI does not permit. There is no timeout
    /// after connecting, because a watch may be idle for long.
    ///
    /// # Errors
    /// If the request is malformed or the server is unreachable.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        let uri = format!("{}{}", self.server, escape(path));
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body))?;
        let response = self.pool.request(request).await;
        response.map_err(|error| self.unreachable(&error))
    }

    /// Sends bytes of JSON; returns the status and the complete response.
    ///
    /// # Errors
    /// If the server is unreachable, sends nothing for two minutes, or disconnects.
    pub async fn bytes(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<(u16, Bytes), Error> {
        self.bytes_of(method, path, "application/json", body).await
    }

    /// The same, with another content type, such as that of a patch.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub async fn bytes_of(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<(u16, Bytes), Error> {
        let headers = [("Content-Type".to_owned(), content_type.to_owned())];
        let response = timeout(RESPONSE_TIMEOUT, self.send(method, path, &headers, body)).await;
        let response = response.map_err(|_| self.silent())??;
        let status = response.status().as_u16();
        let (mut body, mut bytes) = (response.into_body(), BytesMut::new());
        loop {
            let frame = timeout(RESPONSE_TIMEOUT, body.frame()).await;
            let Some(frame) = frame.map_err(|_| self.silent())? else {
                return Ok((status, bytes.freeze()));
            };
            let frame = frame.map_err(|error| self.unreachable(&error))?;
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
    }

    /// Sends JSON; returns the status and the JSON response.
    ///
    /// # Errors
    /// If the server is unreachable or its response is not JSON.
    pub async fn json(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), Error> {
        let bytes = body.map(serde_json::to_vec).transpose()?;
        let body = bytes.unwrap_or_default().into();
        let (status, bytes) = self.bytes(method, path, body).await?;
        Ok((status, serde_json::from_slice(&bytes)?))
    }

    fn silent(&self) -> Error {
        Error::Silent {
            server: self.server.clone(),
            seconds: RESPONSE_TIMEOUT.as_secs(),
        }
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> Error {
        // The outer error only says that the connection failed.
        let cause = error.source().map(|source| format!(": {source}"));
        let mut reason = format!("{error}{}", cause.unwrap_or_default());
        // rustls names what is wrong with a certificate, but not where it comes from.
        if reason.to_lowercase().contains("certificate") {
            reason.push_str(CERTIFICATE_REMEDY);
        }
        Error::Unreachable {
            server: self.server.clone(),
            reason,
        }
    }
}

fn tls(config: &Kubeconfig, identity: bool) -> Result<rustls::ClientConfig, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&config.ca) {
        let certificate = certificate.map_err(|error| text(&error))?;
        roots.add(certificate).map_err(|error| text(&error))?;
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| text(&error))?
        .with_root_certificates(roots);
    if !identity || config.certificate.is_empty() {
        return Ok(tls.with_no_client_auth());
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&config.certificate).collect();
    let chain = chain.map_err(|error| text(&error))?;
    let key = PrivateKeyDer::from_pem_slice(&config.key).map_err(|error| text(&error))?;
    let tls = tls.with_client_auth_cert(chain, key);
    tls.map_err(|error| text(&error))
}

/// Percent-encodes characters that are illegal in a path or query, and no others.
fn escape(path: &str) -> String {
    const ILLEGAL: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'<')
        .add(b'>')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}')
        .add(b'#');
    percent_encoding::utf8_percent_encode(path, ILLEGAL).to_string()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::Client;
    use crate::Error;
    use crate::kubeconfig::Kubeconfig;

    #[test]
    fn error_about_a_certificate_names_the_fields_of_the_kubeconfig() {
        let client = Client::new(&Kubeconfig::default(), false).expect("a client");
        for (cause, expected) in [
            (rustls::Error::NoCertificatesPresented, true),
            (
                rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired),
                true,
            ),
            (rustls::CertificateError::UnknownIssuer.into(), true),
            (rustls::Error::General("reset".to_owned()), false),
        ] {
            let message = client.unreachable(&cause).to_string();
            for field in ["certificate-authority", "client-certificate"] {
                assert_eq!(message.contains(field), expected, "{message}");
            }
        }
    }

    /// The paused clock advances whenever all tasks wait.
    #[tokio::test(start_paused = true)]
    async fn unresponsive_server_times_out() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = silent.local_addr().expect("an address");
        let config = Kubeconfig {
            server: format!("https://{address}"),
            ..Kubeconfig::default()
        };
        let client = Client::new(&config, false).expect("a client");
        let response = client.json("GET", "/version", None);
        let response = timeout(Duration::from_secs(3600), response).await;
        let error = response.expect("an end").expect_err("no response");
        assert!(
            matches!(error, Error::Silent { .. } | Error::Unreachable { .. }),
            "{error}"
        );
    }
}
