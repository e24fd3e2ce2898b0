//! The HTTP client of one engine.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::Value;

use super::kubeconfig::Kubeconfig;

/// A client that speaks HTTP/1.1 with a client certificate.
#[derive(Clone, Debug)]
pub struct Client {
    server: String,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// A client for the kubeconfig's server; without `identity` it shows no certificate.
    ///
    /// # Errors
    /// When the kubeconfig's certificates are malformed.
    pub fn new(config: &Kubeconfig, identity: bool) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&config.ca) {
            roots.add(certificate?)?;
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let tls = if identity {
            let chain: Result<Vec<_>, _> =
                CertificateDer::pem_slice_iter(&config.certificate).collect();
            tls.with_client_auth_cert(chain?, PrivateKeyDer::from_pem_slice(&config.key)?)?
        } else {
            tls.with_no_client_auth()
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .build();
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Self {
            server: config.server.trim_end_matches('/').to_owned(),
            pool,
        })
    }

    /// Sends a request; `path` may hold characters a URI does not allow.
    ///
    /// # Errors
    /// When the request is malformed or the server cannot be reached.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let uri = format!("{}{}", self.server, escape(path));
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Ok(self.pool.request(request.body(Full::new(body))?).await?)
    }

    /// Sends JSON and reads the JSON answer with its status.
    ///
    /// # Errors
    /// When the server cannot be reached or answers something other than JSON.
    pub async fn json(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let bytes = body
            .map(serde_json::to_vec)
            .transpose()?
            .unwrap_or_default();
        let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
        let answer = self.send(method, path, &headers, bytes.into()).await?;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await?.to_bytes();
        let value = serde_json::from_slice(&bytes).context("the answer is no JSON")?;
        Ok((status, value))
    }
}

/// Percent-encodes what must not stand in a path or query, and nothing else.
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
