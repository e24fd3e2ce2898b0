//! Tests that slow readers of lists do not affect other clients.

use std::time::Duration;

use backend_proto::v1::list_response::Part;
use backend_proto::v1::op::Action;
use backend_proto::v1::{ListRequest, ListResponse, Range, WatchRequest};
use conformance::Endpoint;
use postgres_testkit::{Server, Session};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::calls::{create, current, event, key, op, until, write};
use crate::load::store;

/// Far more than fits in the buffers between the database and a reader.
const RECORDS: usize = 48;
const BYTES: usize = 512 << 10;

const LIMIT: Duration = Duration::from_secs(40);

/// Writes the records of a long list, and begins to read it.
async fn long_list(endpoint: &Endpoint) -> Streaming<ListResponse> {
    for number in 0..RECORDS {
        let mut large = op(Action::Create, &format!("n{number}"));
        large.value = vec![b'x'; BYTES].into();
        write(endpoint, large).await.expect("written");
    }
    let range = Range {
        group: key("").group,
        resource: key("").resource,
        ..Range::default()
    };
    let request = ListRequest {
        range: Some(range),
        ..ListRequest::default()
    };
    let opened = endpoint.client().list(request).await;
    opened.expect("a list").into_inner()
}

/// Waits until a list has waited for its reader for some seconds; returns its backend pid.
async fn stuck(session: &Session, seconds: u32) -> String {
    let question = format!(
        "select pid from pg_stat_activity where application_name = 'backend-postgres' \
         and state = 'idle in transaction' \
         and clock_timestamp() - state_change > interval '{seconds} s'"
    );
    let mut found = None;
    until("a list that waits for its reader", LIMIT, async || {
        found = session.text(&question).await.expect("asked");
        found.is_some()
    })
    .await;
    found.expect("a process")
}

/// Reads to the end; returns the record count in the list's trailer.
async fn rest(mut list: Streaming<ListResponse>) -> Result<Option<i64>, Status> {
    let mut count = None;
    loop {
        let message = timeout(LIMIT, list.message()).await.expect("in time")?;
        let Some(message) = message else {
            return Ok(count);
        };
        if let Some(Part::Trailer(trailer)) = message.part {
            count = Some(trailer.count);
        }
    }
}

/// The pause exceeds the timeout of other idle transactions, ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pausing_reader_gets_the_rest_of_the_list() {
    let (server, _, sidecars) = store(Server::builder(), 1).await;
    let list = long_list(&sidecars[0].endpoint).await;
    let session = server.session("ark").await.expect("a session");
    stuck(&session, 11).await;
    let count = rest(list).await.expect("the rest");
    assert_eq!(count, Some(RECORDS as i64));
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_list_connection_ends_no_watch() {
    let (server, _, sidecars) = store(Server::builder(), 1).await;
    let endpoint = &sidecars[0].endpoint;
    let list = long_list(endpoint).await;
    let watch = endpoint.client().watch(WatchRequest::default()).await;
    let mut watch = watch.expect("a watch").into_inner();
    watch.message().await.expect("a watch").expect("its start");
    let session = server.session("ark").await.expect("a session");
    let process = stuck(&session, 1).await;
    current(endpoint).await.expect("others are answered");
    let terminate = format!("select pg_terminate_backend({process})");
    session.text(&terminate).await.expect("terminated");
    rest(list).await.expect_err("a list that was lost");
    for number in 0..5 {
        // Longer than the interval at which health is polled.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let name = format!("after{number}");
        create(endpoint, &name).await.expect("written");
        event(&mut watch, &name).await;
    }
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}
