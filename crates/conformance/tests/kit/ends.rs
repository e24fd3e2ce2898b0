//! Tests of the end of a served driver.

use std::sync::Arc;
use std::time::Duration;

use backend_proto::v1::backend_error::Outcome;
use backend_proto::v1::op::Action;
use backend_proto::v1::{Key, Op, WriteRequest};
use conformance::{Endpoint, ModelDriver};
use sidecar::listen::Listener;
use sidecar::{Error, Options};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::faulty_driver::FaultyDriver;

#[tokio::test]
async fn panicking_driver_ends_without_claiming_not_applied() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let socket = folder.path().join("s");
    let options = Options::at(format!("unix://{}", socket.display()));
    let listener = Listener::bind(&options).await.expect("a socket");
    let driver = Arc::new(FaultyDriver {
        panics_after_commit: true,
        ..FaultyDriver::new(ModelDriver::new())
    });
    let stop = CancellationToken::new();
    let mut server = JoinSet::new();
    server.spawn(async move { sidecar::serve(driver, listener, &options, stop).await });
    let op = Op {
        key: Some(Key {
            resource: "things".to_owned(),
            name: "a".to_owned(),
            ..Key::default()
        }),
        action: Action::Create.into(),
        ..Op::default()
    };
    let mut client = Endpoint::unix(&socket).client();
    let lost = client.write(WriteRequest { ops: vec![op] }).await;
    // A typed error with the outcome, or a broken connection, which leaves the outcome unknown.
    let typed = backend_proto::error::from_status(&lost.expect_err("lost"));
    assert!(typed.is_none_or(|error| error.outcome() == Outcome::Unknown));
    let ended = tokio::time::timeout(Duration::from_secs(60), server.join_next()).await;
    let ended = ended.expect("it ends by itself").expect("one server");
    assert!(matches!(ended.expect("no panic"), Err(Error::Fault(_))));
}
