//! The audit of a server: its policy, its backends, and the memory of its events.

use std::net::IpAddr;
use std::sync::Arc;

use api_types::request_info::RequestInfo;
use http::header::USER_AGENT;
use http::{HeaderMap, Uri};
use jiff::Timestamp;
use tokio::time::Instant;

use super::backend::Queues;
use super::event::{Head, ObjectRef};
use super::inner::Inner;
use super::metrics::Metrics;
use super::policy::{Level, Policy, Stage};
use super::source;
use super::trail::Trail;
use crate::request::{Context, User};

/// kube-apiserver's limit of `User-Agent`, bytes, and the text after a longer one.
const MAX_USER_AGENT: usize = 1024;
const USER_AGENT_SUFFIX: &str = "...TRUNCATED";

/// The audit of a server; cheap to clone. The default records nothing.
#[derive(Debug, Clone, Default)]
pub struct Auditor(Option<Arc<Inner>>);

/// The request that is audited.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The parsed request.
    pub info: &'a RequestInfo,
    /// The URI as received.
    pub uri: &'a Uri,
    /// The headers as received, without credentials.
    pub headers: &'a HeaderMap,
    /// The address of the client.
    pub peer: IpAddr,
    /// The context of the request.
    pub context: &'a Context,
}

impl Auditor {
    pub(super) fn new(policy: Policy, queues: Queues, metrics: Metrics) -> Self {
        Self(Some(Arc::new(Inner::new(policy, queues, metrics))))
    }

    /// Begins the audit of a request whose user is authenticated; `None` if nothing is recorded.
    #[must_use]
    pub fn begin(&self, subject: Subject<'_>, user: &Arc<User>) -> Option<Trail> {
        self.trail(subject, Some(user), Stage::ResponseComplete)
    }

    /// Begins the audit of a request that is rejected before its user is known. As in
    /// kube-apiserver, its only event has the stage `ResponseStarted`.
    #[must_use]
    pub fn begin_rejected(&self, subject: Subject<'_>) -> Option<Trail> {
        self.trail(subject, None, Stage::ResponseStarted)
    }

    fn trail(&self, subject: Subject<'_>, user: Option<&Arc<User>>, last: Stage) -> Option<Trail> {
        let inner = self.0.as_ref()?;
        let Subject { info, context, .. } = subject;
        let decision = inner.policy.decide(info, user.map(|user| &**user));
        inner
            .metrics
            .level(decision.map_or(Level::None, |it| it.level));
        let decision = decision?;
        let head = Head {
            level: decision.level,
            omit_managed_fields: decision.omit_managed_fields,
            audit_id: String::from_utf8_lossy(context.audit_id.as_bytes()).into_owned(),
            uri: subject
                .uri
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            verb: info.verb.as_str().to_owned(),
            user: user.cloned(),
            source_ips: source::addresses(subject.headers, subject.peer),
            user_agent: user_agent(subject.headers),
            received: at(context.received),
        };
        let object = info.is_resource_request.then(|| ObjectRef {
            resource: info.resource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            group: info.group.clone(),
            version: info.version.clone(),
            subresource: info.subresource.clone(),
            ..ObjectRef::default()
        });
        Some(Trail::new(
            Arc::clone(inner),
            Arc::new(head),
            object,
            decision.omit_stages.clone(),
            last,
            context.annotations.clone(),
            // Responses of other paths are no objects.
            info.is_resource_request || info.path.starts_with("/api"),
        ))
    }
}

fn user_agent(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).map_or(&b""[..], |it| it.as_bytes());
    if agent.len() <= MAX_USER_AGENT {
        return String::from_utf8_lossy(agent).into_owned();
    }
    let start = String::from_utf8_lossy(&agent[..MAX_USER_AGENT]);
    format!("{start}{USER_AGENT_SUFFIX}")
}

/// The wall clock at an instant in the past.
fn at(instant: Instant) -> Timestamp {
    let now = Timestamp::now();
    now.checked_sub(instant.elapsed()).unwrap_or(now)
}
