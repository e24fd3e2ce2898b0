//! Many at once, and deaths at the worst moment.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::world::{World, thing, version, with};

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_patches_of_one_object_all_land() {
    let world = World::of_x().await;
    let before = world.fake.changes();
    let numbers = 0..24;
    let patches = numbers.clone().map(|number| {
        let patch = json!({"metadata": {"annotations": {format!("n{number}"): "here"}}});
        let world = &world;
        async move { world.ask("MERGE things/x", patch.to_string()).await }
    });
    let mut versions: Vec<_> = join_all(patches)
        .await
        .iter()
        .map(|answer| version(&answer.expect(200)).to_owned())
        .collect();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 24, "each is a change of its own");
    assert_eq!(world.fake.changes(), before + 24);
    let annotations = world.x().await["metadata"]["annotations"].clone();
    for number in numbers {
        assert_eq!(annotations[format!("n{number}")], "here", "{annotations}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_updates_from_one_version_one_lands() {
    let world = World::of_x().await;
    let x = world.x().await;
    let before = world.fake.changes();
    let updates = (10..20).map(|size| {
        let (world, update) = (&world, with(&x, "/spec/size", size));
        async move { world.ask("PUT things/x", update).await }
    });
    let mut codes: Vec<_> = join_all(updates).await.iter().map(|it| it.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, [vec![200], vec![409; 9]].concat());
    assert_eq!(world.fake.changes(), before + 1);
    let status = world.ask("PUT things/x", x.to_string()).await.expect(409);
    assert_eq!(
        status["message"],
        "Operation cannot be fulfilled on things.example.com \"x\": the object has been modified; \
         please apply your changes to the latest version and try again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_meant_for_one_never_hits_its_successor() {
    let world = World::of_x().await;
    for _ in 0..20 {
        let x = world.x().await;
        let uid = x["metadata"]["uid"].as_str().expect("a uid");
        let precondition = json!({"preconditions": {"uid": uid}}).to_string();
        let recreate = async {
            world.ask("DELETE things/x", "").await;
            world.ask("POST things", thing("x", 1)).await
        };
        let (deleted, created) = tokio::join!(world.ask("DELETE things/x", precondition), recreate);
        assert!(
            matches!(deleted.code, 200 | 404 | 409),
            "{}",
            deleted.text()
        );
        let created = created.expect(201);
        assert_eq!(
            world.x().await["metadata"]["uid"],
            created["metadata"]["uid"]
        );
    }
}

/// A deleted `x` that one finalizer holds, and the update that lets it go.
async fn held() -> (World, Value) {
    let world = World::new().await;
    let held = thing("x", 1).replace(
        r#""name":"x""#,
        r#""name":"x","finalizers":["example.com/f"]"#,
    );
    world.ask("POST things", held).await.expect(201);
    world.ask("DELETE things/x", "").await.expect(200);
    let mut x = world.x().await;
    assert!(x["metadata"]["deletionTimestamp"].is_string());
    x["metadata"]["finalizers"] = json!([]);
    (world, x)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_finalizer_takes_its_object_along_in_one_change() {
    let (world, update) = held().await;
    let (changes, ops) = (world.fake.changes(), world.fake.disk.lock().ops);
    world
        .ask("PUT things/x", update.to_string())
        .await
        .expect(200);
    assert!(world.fake.find("x").is_none());
    assert_eq!(world.fake.changes(), changes + 1);
    assert_eq!(world.fake.disk.lock().ops, ops + 1);
    world.ask("GET things/x", "").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_while_the_last_finalizer_goes_leaves_no_half() {
    for once_stored in [false, true] {
        let (mut world, update) = held().await;
        let (changes, ops) = (world.fake.changes(), world.fake.disk.lock().ops);
        world.fake.fault(|faults| {
            faults.silent = !once_stored;
            faults.silent_once_stored = once_stored;
        });
        let request = world.start("PUT things/x", update.to_string());
        let stored = usize::from(once_stored);
        world
            .until("it is under way", |fake| {
                fake.disk.lock().ops > ops && fake.changes() == changes + stored
            })
            .await;
        world.fake.kill();
        assert_eq!(world.fake.find("x").is_none(), once_stored);
        world.fake.fault(|faults| {
            faults.silent = false;
            faults.silent_once_stored = false;
        });
        world.fake.start();
        request.answer().await.expect(200);
        assert!(world.fake.find("x").is_none());
        assert_eq!(world.fake.changes(), changes + 1, "one change, made once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_between_commit_and_answer_creates_once() {
    let mut world = World::new().await;
    world.fake.fault(|faults| faults.silent_once_stored = true);
    let named = world.start("POST things", thing("x", 1));
    let generated = thing("x", 1).replace(r#""name":"x""#, r#""generateName":"g-""#);
    let generated = world.start("POST things", generated);
    world
        .until("both are stored", |fake| fake.changes() == 2)
        .await;
    world.fake.kill();
    world.fake.fault(|faults| faults.silent_once_stored = false);
    world.fake.start();
    let named = named.answer().await.expect(201);
    generated.answer().await.expect(201);
    assert_eq!(
        world.fake.changes(),
        2,
        "no second name was made, nothing was stored twice"
    );
    assert_eq!(world.x().await, named);
}
