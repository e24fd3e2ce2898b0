//! Tests of commits that hang inside the server, on three sidecars, two of them behind a slow
//! network. A driver that assigns log revisions before the commit order is fixed loses events here.

use std::time::Duration;

use conformance::crash::soak::Size;
use postgres_testkit::{Mode, Proxy, Server};

use crate::load::{finish_soak, sidecars, soak};

/// Makes every commit wait in a trigger, with all its changes made and its locks held. Most wait as
/// long as a busy disk may take, so that commits of three sidecars overlap often. Some exceed the
/// other writers' lock timeout (2.5 s). Two exceed the statement timeout (10 s, which must not
/// apply to a commit) and the driver's timeout of an attempt (5 s), so that their outcome is
/// unknown until a retry with the op_id. Longer waits add no further case; `ARK_LONGEST_COMMIT`
/// (seconds) sets the duration of these two.
const DELAYS: &str = "
    create sequence ark.commits;
    create function ark.hang() returns trigger language plpgsql as $$
    declare n bigint := nextval('ark.commits');
    begin
      perform pg_sleep(case
        when n in (40, 120) then LONGEST when n in (20, 80) then 3
        when n % 10 = 0 then 0.2 when n % 2 = 0 then random() * 0.03 else 0 end);
      return null;
    end $$;
    create constraint trigger hang after update of revision on ark.store
      deferrable initially deferred for each row execute function ark.hang()";

/// Whether commits followed the last of the long ones.
const LAST: &str = "select last_value > 150 from ark.commits";

const SIZE: Size = Size {
    writers: 6,
    watchers: 3,
    from_every_revision: true,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_miss_no_event_while_commits_hang() {
    let builder = Server::builder();
    let server = builder.start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let (near, far) = (proxy(&server, 5).await, proxy(&server, 25).await);
    let sidecars = sidecars(&[dsn.clone(), near.dsn(&dsn), far.dsn(&dsn)]).await;
    let longest = std::env::var("ARK_LONGEST_COMMIT").ok();
    let longest: u64 = longest.map_or(11, |text| text.parse().expect("seconds"));
    let trigger = DELAYS.replace("LONGEST", &longest.to_string());
    server.execute("ark", &trigger).await.expect("a trigger");
    let soak = soak(&sidecars, 24, SIZE).await;
    let session = server.session("ark").await.expect("a session");
    let limit = Duration::from_secs(98 + 2 * longest);
    crate::calls::until("150 commits", limit, async || {
        session.text(LAST).await.expect("asked").as_deref() == Some("t")
    })
    .await;
    let report = finish_soak("hanging commits", soak, sidecars).await;
    assert!(report.acknowledged > 150, "the load was too small");
    // Asserts that the long commits took place.
    assert!(report.slowest > Duration::from_secs(4), "{report:?}");
}

async fn proxy(server: &Server, milliseconds: u64) -> Proxy {
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let delay = Mode::Delay {
        min: Duration::ZERO,
        max: Duration::from_millis(milliseconds),
    };
    proxy.set(delay).await.expect("delayed");
    proxy
}
