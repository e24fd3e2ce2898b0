//! Requests as data, and their sender: three copies of each request at once, then the next request.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::{ATTACKER_ADDRESS, Context, Report};
use crate::client::{Connection, FullResponse, Request};
use crate::tls::{Identity, Protocol};
use crate::{kinds, seed};

/// Three concurrent copies occupy more threads than a small server has.
const COPIES: usize = 3;
/// Longest time of any request, whatever its content.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest response: a multiple of the request's size, with a minimum.
const RESPONSE_FACTOR: usize = 8;
const RESPONSE_BYTES: usize = 1 << 20;

pub(super) const JSON: &str = "application/json";
pub(super) const MERGE: &str = "application/merge-patch+json";
pub(super) const JSON_PATCH: &str = "application/json-patch+json";
pub(super) const YAML: &str = "application/yaml";
pub(super) const APPLY: &str = "application/apply-patch+yaml";

/// Acceptable responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// 2xx or 4xx.
    Handled,
    /// 2xx.
    Success,
    /// 4xx.
    Rejected,
    /// 2xx, 4xx, or 504 because the deadline expired.
    HandledOrTimeout,
    /// Any response.
    AnyResponse,
    Exactly(u16),
}

/// A request and its acceptable responses.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    /// Description for messages.
    what: &'static str,
    request: Request,
    expect: Expect,
    copies: usize,
    identity: Identity,
    largest: usize,
    may_close: bool,
}

impl Shot {
    /// The administrator's request in three copies; 2xx and 4xx are acceptable.
    pub(super) fn new(what: &'static str, request: Request) -> Self {
        Self {
            largest: (request.size() * RESPONSE_FACTOR).max(RESPONSE_BYTES),
            what,
            request,
            expect: Expect::Handled,
            copies: COPIES,
            identity: Identity::Admin,
            may_close: false,
        }
    }

    pub(super) fn expect(self, expect: Expect) -> Self {
        Self { expect, ..self }
    }

    pub(super) fn copies(self, copies: usize) -> Self {
        Self { copies, ..self }
    }

    pub(super) fn anonymous(self) -> Self {
        Self {
            identity: Identity::Anonymous,
            ..self
        }
    }

    /// Sets a larger response limit, for lists of many objects.
    pub(super) fn largest(self, largest: usize) -> Self {
        Self { largest, ..self }
    }

    /// Accepts a closed connection: the server may reject a body without reading it, as Go's
    /// net/http does.
    pub(super) fn may_close(self) -> Self {
        Self {
            may_close: true,
            ..self
        }
    }

    fn evaluate(&self, response: &FullResponse) -> Option<String> {
        let class = response.status.as_u16() / 100;
        let right = match self.expect {
            Expect::Handled => class == 2 || class == 4,
            Expect::AnyResponse => true,
            Expect::Success => class == 2,
            Expect::Rejected => class == 4,
            Expect::HandledOrTimeout => {
                class == 2 || class == 4 || response.status == StatusCode::GATEWAY_TIMEOUT
            }
            Expect::Exactly(status) => response.status == status,
        };
        let what = self.describe();
        if !right {
            return Some(format!(
                "{what}: expected {:?}, got {}",
                self.expect,
                response.describe()
            ));
        }
        let length = response.body.len();
        (length > self.largest).then(|| {
            format!(
                "{what}: a response of {length} bytes, limit {}",
                self.largest
            )
        })
    }

    fn describe(&self) -> String {
        let Request { method, path, .. } = &self.request;
        let path: String = path.chars().take(80).collect();
        format!(
            "{} ({method} {path}, {} bytes)",
            self.what,
            self.request.size()
        )
    }
}

/// Sends the requests sequentially, in rounds until the time is over.
pub(crate) async fn fire(context: &Context, shots: &[Shot]) -> Report {
    let mut report = Report::default();
    let started = Instant::now();
    loop {
        for shot in shots {
            if !volley(context, shot, &mut report).await {
                return report;
            }
        }
        if started.elapsed() >= context.seconds {
            return report;
        }
    }
}

/// Sends the copies of one request; returns false if the attack succeeded and can stop.
async fn volley(context: &Context, shot: &Shot, report: &mut Report) -> bool {
    let lanes = (0..shot.copies).map(|_| async {
        let connection = Connection::open(
            &context.target,
            ATTACKER_ADDRESS,
            shot.identity,
            Protocol::Http1,
        );
        connection.await?.call(&shot.request, TIMEOUT).await
    });
    let responses = join_all(lanes).await;
    let mut go_on = true;
    for response in responses {
        report.requests += 1;
        report.bytes += shot.request.size() as u64;
        let problem = match response {
            Ok(response) => shot.evaluate(&response),
            Err(error) if shot.may_close && !error.is::<Elapsed>() => None,
            Err(error) => {
                go_on = false;
                Some(format!("{}: {error:#}", shot.describe()))
            }
        };
        if let Some(problem) = problem {
            report.add(problem);
        }
    }
    go_on
}

/// Dry-run path of attacked objects.
pub(super) fn dry(plural: &str) -> String {
    format!("{}?dryRun=All", kinds::collection(seed::NAMESPACE, plural))
}

/// Dry-run path of a kind's small object, or of its subresource.
pub(super) fn dry_small(plural: &str, subresource: &str) -> String {
    let object = object_path(plural);
    format!("{object}{subresource}?dryRun=All")
}

/// Path of a kind's small object.
pub(super) fn object_path(plural: &str) -> String {
    format!(
        "{}/{}",
        kinds::collection(seed::NAMESPACE, plural),
        seed::SMALL
    )
}

/// JSON of an object with the given fields of metadata and spec.
pub(super) fn object(plural: &str, name: &str, metadata: &str, spec: &str) -> String {
    let kind = if plural == "forms" { "Form" } else { "Blob" };
    format!(
        r#"{{"apiVersion":"hostile.example.com/v1","kind":"{kind}","metadata":{{"name":"{name}"{metadata}}},"spec":{spec}}}"#
    )
}

/// The same fields by every kind of write: create, update, merge patch, JSON patch, YAML, apply.
pub(super) fn every_way(what: &'static str, plural: &str, metadata: &str, spec: &str) -> Vec<Shot> {
    let whole = object(plural, "new", metadata, spec);
    let update = object(plural, seed::SMALL, metadata, spec);
    let small = dry_small(plural, "");
    let fields = metadata.trim_start_matches(',');
    let merge = format!(r#"{{"metadata":{{{fields}}},"spec":{spec}}}"#);
    let mut operations = format!(r#"[{{"op":"add","path":"/spec","value":{spec}}}"#);
    if let Some((name, value)) = fields.split_once(':') {
        let name = name.trim_matches('"');
        operations += &format!(r#",{{"op":"add","path":"/metadata/{name}","value":{value}}}"#);
    }
    operations.push(']');
    vec![
        Shot::new(
            what,
            Request::send(Method::POST, dry(plural), JSON, whole.clone()),
        ),
        Shot::new(
            what,
            Request::send(Method::PUT, small.clone(), JSON, update),
        ),
        Shot::new(
            what,
            Request::send(Method::PATCH, small.clone(), MERGE, merge),
        ),
        Shot::new(
            what,
            Request::send(Method::PATCH, small, JSON_PATCH, operations),
        ),
        Shot::new(what, Request::send(Method::POST, dry(plural), YAML, whole)),
    ]
}

/// Items separated by commas, each made from its number.
pub(super) fn joined(count: usize, item: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for number in 0..count {
        if number > 0 {
            text.push(',');
        }
        text += &item(number);
    }
    text
}
