//! Small patches that are expensive to apply.

use std::time::Duration;

use api_types::media_type::PatchType;
use kube_json::{MAX_DEPTH, STACK_SIZE, Weight};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::apply;

const REJECTED: &str = "the server rejected our request due to an error in our request";

/// Upper bound for any patch of this file in a debug build on a busy machine. Before lists were
/// stored in pieces, inserts alone took a minute in release builds.
const PROMPT: Duration = Duration::from_secs(20);

fn patch(object: &Value, operations: Vec<Value>) -> Result<Value, String> {
    let begun = Instant::now();
    let patched = apply(PatchType::Json, object, &Value::Array(operations));
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    patched
}

fn rounds(operations: &[Value], count: usize) -> Vec<Value> {
    let rounds = std::iter::repeat_n(operations, count);
    rounds.flatten().cloned().collect()
}

fn on_a_deep_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(STACK_SIZE)
        .spawn(work)
        .expect("a thread")
        .join()
        .expect("no panic");
}

fn nested(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, _| Value::from(vec![inner]))
}

/// Operations that move the value down by `levels` levels per round.
fn deeper(verb: &str, levels: usize, rounds: usize) -> Vec<Value> {
    let bottom = "/0".repeat(levels - 1);
    let round = |_| {
        [
            json!({"op": "add", "path": "/b", "value": nested(levels)}),
            json!({"op": verb, "from": "/a", "path": format!("/b{bottom}/-")}),
            json!({"op": "move", "from": "/b", "path": "/a"}),
        ]
    };
    (0..rounds).flat_map(round).collect()
}

#[test]
fn json_patch_result_is_never_deeper_than_body_limit() {
    on_a_deep_stack(|| {
        let object = json!({"a": []});
        // The object and its first list are levels as well.
        let rounds = (MAX_DEPTH - 2) / 480;
        for verb in ["move", "copy"] {
            let deep = patch(&object, deeper(verb, 480, rounds)).expect("within the limit");
            assert_eq!(Weight::of(&deep).depth, 2 + 480 * rounds, "{verb}");
            let rest = MAX_DEPTH - 2 - 480 * rounds;
            let brim = patch(&deep, deeper(verb, rest, 1)).expect("at the limit");
            assert_eq!(Weight::of(&brim).depth, MAX_DEPTH, "{verb}");
            for operations in [deeper(verb, 480, rounds + 1), deeper(verb, 480, 34)] {
                let rejected = patch(&object, operations);
                assert_eq!(rejected, Err(REJECTED.to_owned()), "{verb}");
            }
            let rejected = patch(&brim, deeper(verb, 1, 1));
            assert_eq!(rejected, Err(REJECTED.to_owned()), "{verb}");
        }
        let path = "/a".to_owned() + &"/0".repeat(4_000);
        let object = json!({"a": nested(5_000)});
        for (op, levels, fits) in [
            ("add", MAX_DEPTH - 4_001, true),
            ("add", MAX_DEPTH - 4_000, false),
            ("replace", MAX_DEPTH - 4_001, true),
            ("replace", MAX_DEPTH - 4_000, false),
        ] {
            let operation = json!({"op": op, "path": path, "value": nested(levels)});
            assert_eq!(
                patch(&object, vec![operation]).is_ok(),
                fits,
                "{op} {levels}"
            );
        }
    });
}

#[test]
fn inserts_at_front_of_long_lists_are_fast() {
    let object = json!({"a": vec![0; 900_000]});
    let removes = vec![json!({"op": "remove", "path": "/a/0"}); 9_000];
    let shorter = patch(&object, removes).expect("a list");
    assert_eq!(shorter["a"].as_array().map(Vec::len), Some(891_000));
    let inserts = vec![json!({"op": "add", "path": "/a/0", "value": 1}); 9_000];
    let longer = patch(&object, inserts).expect("a list");
    assert_eq!(longer["a"].as_array().map(Vec::len), Some(909_000));
    assert_eq!(
        (&longer["a"][8_999], &longer["a"][9_000]),
        (&json!(1), &json!(0))
    );
}

#[test]
fn testing_large_values_does_not_copy_them() {
    let object = json!({"a": vec![0; 300_000], "b": {"c": 1}});
    let tests = vec![
        json!({"op": "test", "path": "/a/299999", "value": 0}),
        json!({"op": "test", "path": "/b", "value": {"c": 1}}),
    ];
    assert_eq!(patch(&object, rounds(&tests, 5_000)), Ok(object.clone()));
    for path in ["", "/a"] {
        let test = json!({"op": "test", "path": path, "value": []});
        assert_eq!(patch(&object, vec![test; 10_000]), Err(REJECTED.to_owned()));
    }
}

#[test]
fn large_values_are_moved_without_copy() {
    let object = json!({"a": vec![0; 300_000], "b": {}});
    let moves = vec![
        json!({"op": "move", "from": "/a", "path": "/b/a"}),
        json!({"op": "move", "from": "/b/a", "path": "/a"}),
    ];
    assert_eq!(patch(&object, rounds(&moves, 10)), Ok(object.clone()));
    // Each operation measures the depth of what it moves, until the budget is exhausted.
    assert_eq!(
        patch(&object, rounds(&moves, 5_000)),
        Err(REJECTED.to_owned())
    );
}

#[test]
fn pointers_past_end_of_object_are_rejected() {
    let object = json!({"a": {}});
    for path in ["/".repeat(100_000), "/~1~0".repeat(100_000)] {
        let test = json!({"op": "add", "path": path, "value": 0});
        assert_eq!(patch(&object, vec![test; 10]), Err(REJECTED.to_owned()));
    }
}

#[test]
fn copies_of_small_objects_are_bounded_by_memory() {
    let object = json!({"a": vec![json!({"": 0}); 10_000]});
    let copies = |count: usize| {
        let copy = |index| json!({"op": "copy", "from": "/a", "path": format!("/{index}")});
        patch(&object, (0..count).map(copy).collect())
    };
    assert!(copies(2).is_ok());
    assert_eq!(copies(20), Err(REJECTED.to_owned()));
    // Each copy is twice as large as the one before.
    let small = json!({"a": [{"": 0}, {"": 0}]});
    let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
    assert!(patch(&small, vec![double.clone(); 10]).is_ok());
    assert_eq!(patch(&small, vec![double; 30]), Err(REJECTED.to_owned()));
}

#[test]
fn repeated_patches_stay_within_body_limit() {
    let items = vec![json!({"": 0}); 60_000];
    let object = json!({"a": items, "b": items});
    let merged = apply(PatchType::Merge, &object, &json!({"c": items}));
    let expected = "Request entity too large: the document takes more than";
    assert!(merged.is_err_and(|error| error.starts_with(expected)));
}
