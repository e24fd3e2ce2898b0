//! Single client calls.

use std::time::{Duration, Instant};

use backend_proto::error::from_status;
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::watch_response::Body;
use backend_proto::v1::{
    BackendError, CurrentRevisionRequest, GetRequest, HealthRequest, Key, ListRequest, Op, Range,
    WatchResponse, WriteRequest, health_response,
};
use bytes::Bytes;
use conformance::Endpoint;
use tokio::time::timeout;
use tonic::Streaming;

/// Timeout of any response; the driver's own limits are shorter.
const DEADLINE: Duration = Duration::from_secs(20);

/// Result of a call: the driver's error, if it failed.
pub(crate) type Ended = Result<(), BackendError>;

pub(crate) fn key(name: &str) -> Key {
    Key {
        group: "ark.mckinsey.com".to_owned(),
        resource: "queries".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

pub(crate) fn op(action: Action, name: &str) -> Op {
    Op {
        op_id: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
        action: action.into(),
        key: Some(key(name)),
        value: Bytes::from(name.to_owned()),
        ..Op::default()
    }
}

/// Returns the typed error; fails if there is none.
fn typed_error(status: &tonic::Status) -> BackendError {
    from_status(status).unwrap_or_else(|| panic!("an untyped error: {status:?}"))
}

async fn soon<T>(
    answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, BackendError> {
    let answer = timeout(DEADLINE, answer).await.expect("an answer");
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| typed_error(&status))
}

/// Writes one operation, which must be applied or fail with a typed error.
pub(crate) async fn write(endpoint: &Endpoint, op: Op) -> Ended {
    let request = WriteRequest { ops: vec![op] };
    let response = soon(endpoint.client().write(request)).await?;
    match response
        .results
        .into_iter()
        .next()
        .and_then(|result| result.verdict)
    {
        Some(Verdict::Applied(_)) => Ok(()),
        Some(Verdict::Refused(error)) => Err(error),
        other => panic!("not applied: {other:?}"),
    }
}

pub(crate) async fn create(endpoint: &Endpoint, name: &str) -> Ended {
    write(endpoint, op(Action::Create, name)).await
}

/// Gets a record that exists.
pub(crate) async fn get(endpoint: &Endpoint, name: &str) -> Ended {
    let request = GetRequest {
        key: Some(key(name)),
        revision: 0,
    };
    let response = soon(endpoint.client().get(request)).await?;
    assert!(
        response.record.is_some(),
        "an error looked like a missing record"
    );
    Ok(())
}

/// Lists; the list must be complete or fail with a typed error.
pub(crate) async fn list(endpoint: &Endpoint) -> Ended {
    let range = Range {
        group: key("").group,
        resource: key("").resource,
        ..Range::default()
    };
    let request = ListRequest {
        range: Some(range),
        ..ListRequest::default()
    };
    let mut stream = soon(endpoint.client().list(request)).await?;
    let mut parts = 0;
    loop {
        let message = timeout(DEADLINE, stream.message())
            .await
            .expect("an answer");
        match message.map_err(|status| typed_error(&status))? {
            Some(_) => parts += 1,
            None => break,
        }
    }
    assert!(parts >= 3, "a short list");
    Ok(())
}

pub(crate) async fn current(endpoint: &Endpoint) -> Ended {
    let requested = CurrentRevisionRequest {};
    soon(endpoint.client().current_revision(requested))
        .await
        .map(drop)
}

pub(crate) async fn state(endpoint: &Endpoint) -> health_response::State {
    let health = soon(endpoint.client().health(HealthRequest {})).await;
    health.expect("health always answers").state()
}

/// Reads a watch until the event with a name.
pub(crate) async fn event(stream: &mut Streaming<WatchResponse>, name: &str) {
    loop {
        let message = timeout(DEADLINE, stream.message())
            .await
            .expect("an event in time");
        let message = message.expect("watch").expect("open");
        let Some(Body::Events(batch)) = message.body else {
            continue;
        };
        let mut events = batch.events.into_iter().filter_map(|event| event.record);
        if events.any(|record| record.key.is_some_and(|key| key.name == name)) {
            return;
        }
    }
}

/// Waits until a condition holds; returns the elapsed time.
pub(crate) async fn until(
    what: &str,
    limit: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) -> Duration {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < limit, "{what} took more than {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    started.elapsed()
}
