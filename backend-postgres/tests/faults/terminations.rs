//! Sessions of the driver are terminated one after the other: writers, readers, listeners.

use std::time::{Duration, Instant};

use backend_proto::v1::WatchRequest;
use postgres_testkit::{Server, Session};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::calls::{create, event};
use crate::load::{RECOVERY, SIZE, judge, store, storm};
use crate::sidecar_of::Sidecar;

const TERMINATIONS: usize = 200;

/// Terminates one session of a driver at random; what it last did.
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

/// What every session of a driver did last.
async fn sessions(session: &Session) -> String {
    let all = "select string_agg(state || ' ' || left(query, 60), ' | ') from pg_stat_activity \
         where application_name = 'backend-postgres'";
    let all = session.text(all).await.expect("asked");
    all.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_terminated_sessions() {
    let (server, _, sidecars) = store(Server::builder(), 2).await;
    let storm = storm(&sidecars, 21, SIZE).await;
    let session = server.session("ark").await.expect("a session");
    let mut random = StdRng::seed_from_u64(21);
    let mut heard = 0;
    for number in 0..TERMINATIONS {
        let did = terminate(&session, &mut random).await;
        heard +=
            usize::from(did.is_some_and(|did| did.contains("LISTEN") || did.contains("notify")));
        // Every so often in quick succession, else when the load has got on.
        if number % 5 != 0 {
            storm.progress(3, RECOVERY).await.expect("the load goes on");
        }
    }
    assert!(heard > 0, "no listener was terminated");
    // The listeners come back, after a pause that grows to 2 s.
    let deadline = Instant::now() + RECOVERY;
    while listeners(&session).await != "2" {
        assert!(
            Instant::now() < deadline,
            "the listeners are not back: {}",
            sessions(&session).await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let aftermath = judge("200 terminations", storm, sidecars).await;
    assert!(aftermath.acknowledged > 600, "the load was too small");
    // The driver goes on by itself: a writer is not told of a lost session.
    let told = aftermath.troubles.get("write: NOT_READY").copied();
    assert!(told.unwrap_or(0) < 5, "{:?}", aftermath.troubles);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_hint_costs_at_most_the_poll() {
    let (_server, dsn, mut sidecars) = store(Server::builder(), 1).await;
    // Every hint is lost on a sidecar that does not listen.
    let deaf = ["--dsn", &dsn, "--notify-dsn", "none"];
    sidecars.push(Sidecar::start(&deaf).await);
    let watch = sidecars[1]
        .endpoint
        .client()
        .watch(WatchRequest::default())
        .await;
    let mut stream = watch.expect("watch").into_inner();
    stream.message().await.expect("watch").expect("its start");
    let mut worst = Duration::ZERO;
    for number in 0..8 {
        // Idle for longer each time: the poll has become rare by then.
        tokio::time::sleep(Duration::from_millis(number * 200)).await;
        let begun = Instant::now();
        let name = format!("n{number}");
        create(&sidecars[0].endpoint, &name).await.expect("written");
        event(&mut stream, &name).await;
        worst = worst.max(begun.elapsed());
    }
    println!("without hints an event takes at most {worst:?}");
    // The idle poll is 1.25 s; without one nothing would ever come.
    assert!(worst < Duration::from_secs(5), "{worst:?}");
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}
