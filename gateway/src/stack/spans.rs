//! The span of a request. Names and attributes are those of kube-apiserver
//! (`pkg/endpoints/filters/traces.go` of `k8s.io/apiserver`, and otelhttp).

use api_types::request_info::RequestInfo;
use axum::body::Body;
use http::header::USER_AGENT;
use http::{HeaderName, Method, Request, StatusCode, Version};

use crate::audit::Subject;
use crate::request::User;
use crate::request::user;
use crate::telemetry::trace::Attribute::{Number, Text};
use crate::telemetry::trace::{Context, Span, Tracer};

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// Bytes of a URI or user agent in a span: clients choose both.
const MAX_TEXT: usize = 1024;

/// Begins the span of an authenticated request.
pub(super) fn begin(
    tracer: &Tracer,
    subject: Subject<'_>,
    request: &Request<Body>,
    user: &User,
) -> Option<Span> {
    if !tracer.is_on() {
        return None;
    }
    let Subject { info, context, .. } = subject;
    // Other clients could have every request sampled, or continue the traces of others.
    let trusted = user.is_master() || user.method == user::Method::FrontProxy;
    let parent = request.headers().get(TRACE_PARENT).filter(|_| trusted);
    let parent = parent.and_then(|parent| Context::parse(parent.to_str().ok()?));
    let name = || name(request.method(), info);
    let mut span = tracer.server(parent, context.received, name)?;
    let uri = request.uri().path_and_query();
    span.set("http.request.method", Text(request.method().as_str()));
    span.set("http.target", Text(cut(uri.map_or("", |uri| uri.as_str()))));
    span.set("url.path", Text(cut(request.uri().path())));
    span.set("url.scheme", Text("https"));
    span.set("network.protocol.name", Text("http"));
    let version = if request.version() == Version::HTTP_2 {
        "2"
    } else {
        "1.1"
    };
    span.set("network.protocol.version", Text(version));
    span.set("client.address", Text(&subject.peer.to_string()));
    let agent = request.headers().get(USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    span.set("user_agent.original", Text(cut(agent.unwrap_or_default())));
    span.set("audit-id", Text(context.shown_id()));
    Some(span)
}

/// Records the head of the response.
pub(super) fn respond(span: &mut Span, status: StatusCode) {
    span.set(
        "http.response.status_code",
        Number(i64::from(status.as_u16())),
    );
    if status.is_server_error() {
        span.fail("");
    }
}

/// The path with placeholders, so that the names of spans are few.
fn name(method: &Method, info: &RequestInfo) -> String {
    if !info.is_resource_request {
        return method.to_string();
    }
    let mut name = format!("{method} /");
    match info.group.as_str() {
        "" => name.push_str("api"),
        group => {
            name.push_str("apis/");
            name.push_str(group);
        }
    }
    let mut part = |text: &str| {
        name.push('/');
        name.push_str(text);
    };
    part(&info.version);
    if !info.namespace.is_empty() {
        part("namespaces/{:namespace}");
    }
    part(&info.resource);
    if !info.name.is_empty() {
        part("{:name}");
    }
    if !info.subresource.is_empty() {
        part(&info.subresource);
    }
    name
}

/// The start of a text that a client chose.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_is_named_by_the_kind_of_its_path() {
        for (method, path, expected) in [
            ("GET", "/version", "GET"),
            ("GET", "/apis/g/v1/foos", "GET /apis/g/v1/foos"),
            (
                "PUT",
                "/apis/g/v1/namespaces/n/foos/x/status",
                "PUT /apis/g/v1/namespaces/{:namespace}/foos/{:name}/status",
            ),
            ("GET", "/api/v1/nodes/x", "GET /api/v1/nodes/{:name}"),
        ] {
            let info = RequestInfo::parse(method, path, None).unwrap();
            assert_eq!(name(&method.parse().unwrap(), &info), expected);
        }
    }
}
