//! Probes: `/healthz`, `/livez`, `/readyz`, and one path below them per check.
//!
//! Liveness does not depend on storage: a restart of the gateway would not repair it.

mod endpoint;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use api_types::go_text::quote;
use axum::body::Body;
use http::{Response, StatusCode};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::reply;
use crate::store::Phase;

pub use endpoint::Endpoint;

/// State that probes check; cheap to clone.
#[derive(Debug, Clone)]
pub struct Health {
    storage: watch::Receiver<Phase>,
    shutdown: CancellationToken,
    /// Whether a fence rejects all writes; `None` if unknown.
    fenced: Option<watch::Receiver<bool>>,
    /// `None` if the certificate comes from files.
    certificate: Option<watch::Receiver<bool>>,
    /// `None` if the authorities of clients were read before the start.
    authorities: Option<watch::Receiver<bool>>,
}

/// One condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// The process responds.
    Ping,
    /// Objects have been loaded since the start.
    Loaded,
    /// Objects are loaded, and the change stream is connected.
    Storage,
    /// No shutdown was requested.
    Shutdown,
    /// The certificate of the Secret is served.
    Certificate,
    /// The authorities of clients have been read from the cluster.
    Authorities,
}

impl Health {
    /// Probes of the phase of a store and the shutdown signal.
    #[must_use]
    pub const fn new(storage: watch::Receiver<Phase>, shutdown: CancellationToken) -> Self {
        Self {
            storage,
            shutdown,
            fenced: None,
            certificate: None,
            authorities: None,
        }
    }

    /// As [`Self::new`], and `/readyz` fails until the self-managed certificate is served and the
    /// authorities of clients have been read. `None` omits a check.
    #[must_use]
    pub fn waiting_for(
        mut self,
        certificate: Option<watch::Receiver<bool>>,
        authorities: Option<watch::Receiver<bool>>,
    ) -> Self {
        self.certificate = certificate;
        self.authorities = authorities;
        self
    }

    /// Shows a fence in the verbose output. It fails no probe, because reads are served.
    #[must_use]
    pub fn showing_fence(mut self, fenced: watch::Receiver<bool>) -> Self {
        self.fenced = Some(fenced);
        self
    }

    /// Whether a fence rejects all writes.
    fn is_fenced(&self) -> bool {
        self.fenced.as_ref().is_some_and(|fenced| *fenced.borrow())
    }

    /// Whether requests can be served.
    ///
    /// # Errors
    /// A sentence about the first failed check.
    pub fn ready(&self) -> Result<(), String> {
        self.checks(Endpoint::Readyz)
            .try_for_each(|check| check.run(self))
    }

    /// Whether the objects have been loaded since the start.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.storage.borrow().is_loaded()
    }

    /// The checks of an endpoint that apply to this server.
    fn checks(&self, endpoint: Endpoint) -> impl Iterator<Item = Check> + '_ {
        let checks = endpoint.checks().iter().copied();
        checks.filter(|check| match check {
            Check::Ping | Check::Loaded | Check::Storage | Check::Shutdown => true,
            Check::Certificate => self.certificate.is_some(),
            Check::Authorities => self.authorities.is_some(),
        })
    }

    /// The names of the checks of an endpoint, in the order of the verbose output.
    pub fn check_names(&self, endpoint: Endpoint) -> impl Iterator<Item = &'static str> + '_ {
        self.checks(endpoint).map(Check::name)
    }

    /// The response to a probe of all checks; `query` may contain `verbose` and `exclude`.
    #[must_use]
    pub fn all(&self, endpoint: Endpoint, query: Option<&str>) -> Response<Body> {
        let parameters = || form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let excluded: BTreeSet<String> = parameters()
            .filter(|(key, _)| key == "exclude")
            .map(|(_, value)| value.into_owned())
            .collect();
        let mut unknown = excluded.clone();
        let mut lines = String::new();
        let mut failed = false;
        for check in self.checks(endpoint) {
            let name = check.name();
            let line = if unknown.remove(name) {
                format!("[+]{name} excluded: ok")
            } else if let Err(problem) = check.run(self) {
                // Probes are open to anonymous clients, so the reason goes to the log only.
                tracing::debug!(
                    probe = endpoint.name(),
                    check = name,
                    problem,
                    "probe failed"
                );
                failed = true;
                format!("[-]{name} failed: reason withheld")
            } else if check == Check::Storage && self.is_fenced() {
                format!("[+]{name} ok, but a fence rejects all writes")
            } else {
                format!("[+]{name} ok")
            };
            lines.push_str(&line);
            lines.push('\n');
        }
        if !unknown.is_empty() {
            let names: Vec<String> = unknown.iter().map(|name| quote(name)).collect();
            let _ = writeln!(
                lines,
                "warn: some health checks cannot be excluded: no matches for {}",
                names.join(",")
            );
        }
        let probe = endpoint.name();
        if failed {
            let text = format!("{lines}{probe} check failed");
            reply::error_text(StatusCode::INTERNAL_SERVER_ERROR, &text)
        } else if parameters().any(|(key, _)| key == "verbose") {
            reply::text(format!("{lines}{probe} check passed\n"))
        } else {
            reply::text("ok")
        }
    }

    /// The response to a probe of one check; `None` if the endpoint has no such check.
    #[must_use]
    pub fn one(&self, endpoint: Endpoint, name: &str) -> Option<Response<Body>> {
        let check = self.checks(endpoint).find(|check| check.name() == name)?;
        Some(match check.run(self) {
            Ok(()) => reply::plain("ok"),
            Err(problem) => reply::error_text(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("internal server error: {problem}"),
            ),
        })
    }
}

impl Check {
    const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Loaded => "objects-loaded",
            Self::Storage => "storage",
            Self::Shutdown => "shutdown",
            Self::Certificate => "serving-certificate",
            Self::Authorities => "client-authorities",
        }
    }

    fn run(self, health: &Health) -> Result<(), String> {
        match self {
            Self::Ping => Ok(()),
            Self::Loaded => {
                let phase = health.storage.borrow();
                if phase.is_loaded() {
                    return Ok(());
                }
                phase.ready()
            }
            Self::Storage => health.storage.borrow().ready(),
            Self::Shutdown if health.shutdown.is_cancelled() => {
                Err("process is shutting down".to_owned())
            }
            Self::Shutdown => Ok(()),
            Self::Certificate => given(
                health.certificate.as_ref(),
                "the serving certificate has not been read from its Secret",
            ),
            Self::Authorities => given(
                health.authorities.as_ref(),
                "the authorities of clients have not been read from the cluster",
            ),
        }
    }
}

fn given(condition: Option<&watch::Receiver<bool>>, otherwise: &str) -> Result<(), String> {
    let holds = condition.is_none_or(|condition| *condition.borrow());
    holds.then_some(()).ok_or_else(|| otherwise.to_owned())
}

#[cfg(test)]
mod tests;
