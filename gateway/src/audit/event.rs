//! One event, and its JSON.
//!
//! Fields and their order: `k8s.io/apiserver/pkg/apis/audit/v1`.

use std::net::IpAddr;
use std::sync::Arc;

use api_types::status::Status;
use jiff::Timestamp;
use kube_json::ObjectWriter;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::json::compact;
use super::policy::{Level, Stage};
use super::response::Captured;
use crate::request::User;
use crate::request::recording::Charged;

/// Annotation of an event without its bodies, as that of kube-apiserver's truncating backend.
const TRUNCATED: &str = "audit.k8s.io/truncated";

/// What is the same in all events of a request.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) level: Level,
    pub(super) omit_managed_fields: bool,
    pub(super) audit_id: String,
    pub(super) uri: String,
    pub(super) verb: String,
    /// `None` if the authentication failed.
    pub(super) user: Option<Arc<User>>,
    pub(super) source_ips: Vec<IpAddr>,
    pub(super) user_agent: String,
    pub(super) received: Timestamp,
}

/// The object of a request, by its path and by its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ObjectRef {
    pub(super) resource: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) resource_version: String,
    pub(super) subresource: String,
}

/// The result of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// The HTTP code.
    pub(super) code: u16,
    /// The Status that was sent, if the response is one.
    pub(super) status: Option<Arc<Status>>,
}

/// An event of one stage.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) head: Arc<Head>,
    pub(super) stage: Stage,
    pub(super) at: Timestamp,
    /// `None` for paths that are no resource.
    pub(super) object: Option<ObjectRef>,
    pub(super) outcome: Option<Outcome>,
    pub(super) request: Option<Arc<Charged>>,
    pub(super) response: Option<Captured>,
    /// In order of their keys.
    pub(super) annotations: Vec<(String, String)>,
    /// Whether bodies were left out for want of memory.
    pub(super) truncated: bool,
    /// Memory of the event without its bodies.
    pub(super) charge: Option<OwnedSemaphorePermit>,
}

impl Event {
    /// Approximate memory without bodies, bytes.
    pub(super) fn weight(&self) -> usize {
        let head = &self.head;
        let user = head.user.as_ref().map_or(0, |user| {
            let groups = user.groups.iter().map(String::len).sum::<usize>();
            let extra = user.extra.iter();
            let extra = extra
                .map(|(key, values)| key.len() + values.iter().map(String::len).sum::<usize>());
            user.name.len() + groups + extra.sum::<usize>()
        });
        let annotations = self.annotations.iter();
        let annotations = annotations.map(|(key, value)| key.len() + value.len());
        let texts = head.uri.len() + head.user_agent.len() + head.audit_id.len();
        1024 + texts + user + annotations.sum::<usize>()
    }

    /// Appends the event as one line of JSON without a newline; without its bodies if `truncated`.
    pub(super) fn write(&self, truncated: bool, out: &mut Vec<u8>) {
        let head = &*self.head;
        let bodies = !truncated && head.level >= Level::Request;
        let request = self.request.as_ref().filter(|_| bodies);
        let response = self.response.as_ref().filter(|_| bodies);
        let response = response.map(|body| body.json(head.omit_managed_fields));
        let lost = matches!(response, Some(None));

        let mut event = ObjectWriter::begin(out);
        event.string("kind", "Event");
        event.string("apiVersion", "audit.k8s.io/v1");
        event.string("level", head.level.as_str());
        event.string("auditID", &head.audit_id);
        event.string("stage", self.stage.as_str());
        event.string("requestURI", &head.uri);
        event.string("verb", &head.verb);
        event.with("user", |out| write_user(head.user.as_deref(), out));
        if !head.source_ips.is_empty() {
            let addresses = head.source_ips.iter().map(IpAddr::to_string);
            event.value("sourceIPs", &addresses.collect());
        }
        event.string_unless_empty("userAgent", &head.user_agent);
        if let Some(object) = &self.object {
            event.with("objectRef", |out| object.write(out));
        }
        if let Some(outcome) = &self.outcome {
            event.with("responseStatus", |out| outcome.write(out));
        }
        if let Some(body) = request {
            event.with("requestObject", |out| compact(body.bytes(), out));
        }
        if let Some(body) = response.flatten() {
            event.raw("responseObject", &body);
        }
        event.string("requestReceivedTimestamp", &micros(head.received));
        event.string("stageTimestamp", &micros(self.at));
        let truncated = truncated || lost || self.truncated;
        if truncated || !self.annotations.is_empty() {
            let mut annotations = event.object("annotations");
            let mark = truncated.then_some((TRUNCATED, "true"));
            let own = self
                .annotations
                .iter()
                .map(|(key, value)| (&**key, &**value));
            let mut all: Vec<_> = own.chain(mark).collect();
            all.sort_unstable();
            all.iter()
                .for_each(|(key, value)| annotations.string(key, value));
            annotations.end();
        }
        event.end();
    }
}

impl ObjectRef {
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = ObjectWriter::begin(out);
        object.string_unless_empty("resource", &self.resource);
        object.string_unless_empty("namespace", &self.namespace);
        object.string_unless_empty("name", &self.name);
        object.string_unless_empty("uid", &self.uid);
        object.string_unless_empty("apiGroup", &self.group);
        object.string_unless_empty("apiVersion", &self.version);
        object.string_unless_empty("resourceVersion", &self.resource_version);
        object.string_unless_empty("subresource", &self.subresource);
        object.end();
    }
}

impl Outcome {
    fn write(&self, out: &mut Vec<u8>) {
        let status = self.status.as_ref().map(|status| status.to_json());
        let status = status.and_then(|json| kube_json::reparse(&json).ok());
        let mut object = ObjectWriter::begin(out);
        object.object("metadata").end();
        if let Some(Value::Object(status)) = &status {
            for key in ["status", "message", "reason", "details"] {
                if let Some(value) = status.get(key) {
                    object.value(key, value);
                }
            }
        }
        if self.code != 0 {
            object.integer("code", i64::from(self.code));
        }
        object.end();
    }
}

fn write_user(user: Option<&User>, out: &mut Vec<u8>) {
    let mut object = ObjectWriter::begin(out);
    if let Some(user) = user {
        object.string_unless_empty("username", &user.name);
        object.string_unless_empty("uid", user.uid.as_deref().unwrap_or_default());
        if !user.groups.is_empty() {
            object.value("groups", &user.groups.iter().map(String::as_str).collect());
        }
        if !user.extra.is_empty() {
            let mut extra = object.object("extra");
            for (key, values) in &user.extra {
                extra.value(key, &values.iter().map(String::as_str).collect());
            }
            extra.end();
        }
    }
    object.end();
}

/// A time as `metav1.MicroTime` writes it.
fn micros(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use api_types::status::ApiError;

    use super::*;

    fn event(level: Level) -> Event {
        let head = Head {
            level,
            omit_managed_fields: false,
            audit_id: "id-1".to_owned(),
            uri: "/apis/g/v1/foos?a=b".to_owned(),
            verb: "create".to_owned(),
            user: Some(Arc::new(User::new("jane", ["dev".to_owned()]))),
            source_ips: vec![[10, 0, 0, 1].into()],
            user_agent: "curl".to_owned(),
            received: "2026-11-30T10:00:00.000001Z".parse().unwrap(),
        };
        Event {
            head: Arc::new(head),
            stage: Stage::ResponseComplete,
            at: "2026-11-30T10:00:01Z".parse().unwrap(),
            object: Some(ObjectRef {
                resource: "foos".to_owned(),
                version: "v1".to_owned(),
                group: "g".to_owned(),
                ..ObjectRef::default()
            }),
            outcome: Some(Outcome {
                code: 404,
                status: Some(Arc::new(ApiError::bad_request("no").status().clone())),
            }),
            request: None,
            response: None,
            annotations: vec![
                ("b".to_owned(), "2".to_owned()),
                ("a".to_owned(), "1".to_owned()),
            ],
            truncated: false,
            charge: None,
        }
    }

    #[test]
    fn event_has_fields_in_the_order_of_kube_apiserver() {
        let mut out = Vec::new();
        event(Level::Metadata).write(false, &mut out);
        let expected = concat!(
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-1","#,
            r#""stage":"ResponseComplete","requestURI":"/apis/g/v1/foos?a=b","verb":"create","#,
            r#""user":{"username":"jane","groups":["dev"]},"sourceIPs":["10.0.0.1"],"#,
            r#""userAgent":"curl","objectRef":{"resource":"foos","apiGroup":"g","apiVersion":"v1"},"#,
            r#""responseStatus":{"metadata":{},"status":"Failure","message":"no","#,
            r#""reason":"BadRequest","code":404},"#,
            r#""requestReceivedTimestamp":"2026-11-30T10:00:00.000001Z","#,
            r#""stageTimestamp":"2026-11-30T10:00:01.000000Z","annotations":{"a":"1","b":"2"}}"#,
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn truncated_event_is_marked() {
        let mut out = Vec::new();
        event(Level::Request).write(true, &mut out);
        let text = String::from_utf8(out).unwrap();
        let marked = r#""annotations":{"a":"1","audit.k8s.io/truncated":"true","b":"2"}"#;
        assert!(text.contains(marked), "{text}");
    }
}
