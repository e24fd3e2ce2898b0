//! More concurrent requests than the server admits.

use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep};

use super::requests::object_path;
use super::{ATTACKER_ADDRESS, Attack, Context, Expect, Report, Shot};
use crate::client::Request;
use crate::frames;
use crate::server::Setup;
use crate::tls::{Identity, Protocol};
use crate::{kinds, seed};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::client(
        "limits/masters",
        "1,000 concurrent lists by an administrator, where five reads are admitted",
        |context| masters(context).boxed(),
    )
    .setup(Setup::FewSeats),
    Attack::client(
        "limits/unprivileged",
        "requests of a user without rights by a front proxy, where five reads are admitted",
        |context| unprivileged(context).boxed(),
    )
    .setup(Setup::FewSeats),
    Attack::requests(
        "limits/anonymous",
        "100 concurrent bodies of 2.9 MB without credentials",
        anonymous,
    ),
];

/// HTTP/2 streams, 100 on each of ten connections.
async fn masters(context: Context) -> Result<Report> {
    let collection = kinds::collection(seed::BULK_NAMESPACE, "blobs");
    let path = format!("{collection}?labelSelector={}zzz", "!a,".repeat(20));
    let authority = context.target.address.to_string();
    let end = Instant::now() + context.seconds + Duration::from_secs(1);
    let lanes = (0..10).map(|_| async {
        let connection = context
            .target
            .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http2);
        let mut stream = connection.await?;
        let mut bytes = frames::hello(65_535);
        for number in 0..100 {
            bytes.extend(frames::get(number * 2 + 1, &authority, &path));
        }
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        let session = frames::read_session(&mut stream, end).await;
        anyhow::Ok((session, bytes.len()))
    });
    let mut report = Report::default();
    let mut answered = 0;
    for lane in join_all(lanes).await {
        let (session, bytes) = lane?;
        answered += session.responses;
        report.requests += 100;
        report.bytes += bytes as u64;
    }
    if answered == 0 {
        report.add("none of 1,000 concurrent lists got a response".to_owned());
    }
    Ok(report)
}

async fn unprivileged(context: Context) -> Result<Report> {
    let seats = [
        "--max-requests-inflight",
        "5",
        "--max-mutating-requests-inflight",
        "5",
    ];
    let proxied = context.driver.front_proxy(&seats)?;
    // The second gateway must load its cache first.
    sleep(Duration::from_secs(1)).await;
    let path = kinds::collection(seed::BULK_NAMESPACE, "blobs");
    let mallory = Request::get(path).header("x-remote-user", "mallory");
    let admin = Request::get(object_path("forms"))
        .header("x-remote-user", "jane")
        .header("x-remote-group", "system:masters");
    let shots = [
        Shot::new("by a user without rights", mallory)
            .copies(200)
            .expect(Expect::Rejected),
        Shot::new("by an administrator", admin).expect(Expect::Success),
    ];
    let context = Context {
        target: proxied.target.clone(),
        ..context
    };
    Ok(super::fire(&context, &shots).await)
}

fn anonymous() -> Vec<Shot> {
    use super::requests::{JSON, dry, object};
    let body = object(
        "blobs",
        "new",
        "",
        &format!(r#"{{"a":"{}"}}"#, "x".repeat(2_900_000)),
    );
    let request = Request::send(http::Method::POST, dry("blobs"), JSON, body);
    vec![
        Shot::new("a body without credentials", request)
            .anonymous()
            .may_close()
            .copies(100)
            .expect(Expect::Rejected),
    ]
}
