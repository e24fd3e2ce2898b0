//! Clients that go away leave nothing behind.

use std::time::Duration;

use super::world::{World, thing};

/// `asked` and `ops` of the fake.
fn asked(world: &World) -> (usize, usize) {
    let disk = world.fake.disk.lock();
    (disk.asked, disk.ops)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_on_for_a_client_that_went_away() {
    let cases = [
        ("GET things", String::new()),
        ("GET things/x", String::new()),
        ("GET things?watch=1", String::new()),
        ("POST things", thing("y", 1)),
        ("MERGE things/x", r#"{"spec":{"size":2}}"#.to_owned()),
        ("DELETE things/x", String::new()),
        ("DELETE things", String::new()),
    ];
    for (line, body) in cases {
        let world = World::of_x().await;
        world.fake.fault(|faults| faults.silent = true);
        let request = world.start(line, body);
        world
            .until("it waits", |fake| fake.disk.lock().open == 1)
            .await;
        request.leave().await;
        world
            .until("it is over", |fake| fake.disk.lock().open == 0)
            .await;
        let before = asked(&world);
        // Longer than any pause before another attempt.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(asked(&world), before, "{line}");
        world.fake.fault(|faults| faults.silent = false);
        assert_eq!(world.x().await["spec"]["size"], 1, "{line}");
        world.ask("GET things/y", "").await.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_went_away_takes_nobody_along() {
    let world = World::of_x().await;
    world.fake.fault(|faults| faults.silent = true);
    // As many as there are calls at once, so that what follows travels together.
    let mut first = Vec::new();
    for calls in 1..=4 {
        first.push(world.start("POST things", thing("first", 1)));
        world
            .until("it has a call", |fake| fake.disk.lock().open == calls)
            .await;
    }
    let gone = world.start("POST things", thing("gone", 1));
    let stays = world.start("POST things", thing("stays", 1));
    // Until both wait for a call.
    tokio::time::sleep(Duration::from_millis(200)).await;
    gone.leave().await;
    world.fake.fault(|faults| faults.silent = false);
    stays.answer().await.expect(201);
    let mut codes = Vec::new();
    for request in first {
        codes.push(request.answer().await.code);
    }
    codes.sort_unstable();
    assert_eq!(codes, [201, 409, 409, 409]);
    world.ask("GET things/gone", "").await.expect(404);
}
