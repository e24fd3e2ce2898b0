//! Tests of sessions of the driver being terminated one by one: writer, readers, listener.

use std::time::{Duration, Instant};

use backend_proto::v1::WatchRequest;
use postgres_testkit::{Server, Session};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::calls::{create, event};
use crate::load::{RECOVERY, SIZE, finish_soak, soak, store};
use crate::sidecar_of::Sidecar;

const TERMINATIONS: usize = 200;

/// Terminates a random session of a driver; returns its last statement.
async fn terminate(session: &Session, random: &mut StdRng) -> Option<String> {
    let number: u32 = random.random();
    let statement = format!(
        "with one as (select pid, coalesce(left(query, 20), '') as did from pg_stat_activity \
           where application_name = 'backend-postgres' order by pid \
           offset {number} % greatest(1, (select count(*) from pg_stat_activity \
             where application_name = 'backend-postgres')) limit 1) \
         select did from one where pg_terminate_backend(pid)"
    );
    session.text(&statement).await.expect("terminated")
}

async fn listeners(session: &Session) -> String {
    let listening = "select count(*) from pg_stat_activity where application_name = \
         'backend-postgres' and (query like '%LISTEN ark%' or query like '%pg_notify%')";
    session
        .text(listening)
        .await
        .expect("counted")
        .expect("a number")
}

/// Returns the last statement of every session of a driver.
async fn sessions(session: &Session) -> String {
    let all = "select string_agg(state || ' ' || left(query, 60), ' | ') from pg_stat_activity \
         where application_name = 'backend-postgres'";
    let all = session.text(all).await.expect("asked");
    all.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_survives_two_hundred_terminated_sessions() {
    let (server, _, sidecars) = store(Server::builder(), 2).await;
    let soak = soak(&sidecars, 21, SIZE).await;
    let session = server.session("ark").await.expect("a session");
    let mut random = StdRng::seed_from_u64(21);
    let mut last_response = 0;
    for number in 0..TERMINATIONS {
        let did = terminate(&session, &mut random).await;
        last_response +=
            usize::from(did.is_some_and(|did| did.contains("LISTEN") || did.contains("notify")));
        // Four out of five wait for progress; the others follow in quick succession.
        if number % 5 != 0 {
            soak.progress(3, RECOVERY).await.expect("the load goes on");
        }
    }
    assert!(last_response > 0, "no listener was terminated");
    // The listeners reconnect, after a backoff of up to 2 s.
    let deadline = Instant::now() + RECOVERY;
    while listeners(&session).await != "2" {
        assert!(
            Instant::now() < deadline,
            "the listeners are not back: {}",
            sessions(&session).await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let report = finish_soak("200 terminations", soak, sidecars).await;
    assert!(report.acknowledged > 600, "the load was too small");
    // The driver retries by itself: a lost session is not reported to writers.
    let not_ready = report.errors.get("write: NOT_READY").copied();
    assert!(not_ready.unwrap_or(0) < 5, "{:?}", report.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_notification_delays_at_most_one_poll() {
    let (_server, dsn, mut sidecars) = store(Server::builder(), 1).await;
    // A sidecar that does not listen gets no notifications.
    let unnotified = ["--dsn", &dsn, "--notify-dsn", "none"];
    sidecars.push(Sidecar::start(&unnotified).await);
    let watch = sidecars[1]
        .endpoint
        .client()
        .watch(WatchRequest::default())
        .await;
    let mut stream = watch.expect("watch").into_inner();
    stream.message().await.expect("watch").expect("its start");
    let mut worst = Duration::ZERO;
    for number in 0..8 {
        // Idle for ever longer, so that the poll interval has grown to its maximum.
        tokio::time::sleep(Duration::from_millis(number * 200)).await;
        let started = Instant::now();
        let name = format!("n{number}");
        create(&sidecars[0].endpoint, &name).await.expect("written");
        event(&mut stream, &name).await;
        worst = worst.max(started.elapsed());
    }
    println!("without hints an event takes at most {worst:?}");
    // The idle poll interval is 1.25 s; without polling no event would ever arrive.
    assert!(worst < Duration::from_secs(5), "{worst:?}");
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}
