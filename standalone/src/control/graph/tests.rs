//! Who is looked at after which change.

use super::*;

fn node(name: &str, owners: &[(&str, bool)], hold: Option<Hold>) -> Node {
    Node {
        kind: 0,
        key: ObjectKey::new("default", name),
        owners: owners
            .iter()
            .map(|(uid, blocks)| Owner {
                uid: (*uid).into(),
                api_version: "v1".to_owned(),
                kind: "Owner".to_owned(),
                name: (*uid).to_owned(),
                blocks: *blocks,
            })
            .collect(),
        deleting: hold.is_some(),
        hold,
    }
}

fn names(uids: &[Uid]) -> Vec<&str> {
    uids.iter().map(|uid| &**uid).collect()
}

#[test]
fn dependents_are_looked_at_when_their_owner_is_gone() {
    let mut graph = Graph::default();
    assert_eq!(
        names(&graph.see("d", Some(node("d", &[("o", false)], None)))),
        ["d"]
    );
    // Nothing changed.
    let again = graph.see("d", Some(node("d", &[("o", false)], None)));
    assert!(again.is_empty());
    assert_eq!(names(&graph.gone("o")), ["d"]);
    assert!(graph.gone("d").is_empty());
    assert!(graph.gone("o").is_empty() && graph.dependents.is_empty());
}

#[test]
fn waiting_owner_is_looked_at_when_a_dependent_ends_to_block_it() {
    let mut graph = Graph::default();
    let waiting = || Some(node("o", &[], Some(Hold::Foreground)));
    for change in ["gone", "released", "unblocked"] {
        graph.see("d", Some(node("d", &[("o", true)], None)));
        assert_eq!(names(&graph.see("o", waiting())), ["o"]);
        let looked_at = match change {
            "gone" => graph.gone("d"),
            "released" => graph.see("d", None),
            _ => graph.see("d", Some(node("d", &[("o", false)], None))),
        };
        assert!(names(&looked_at).contains(&"o"), "{change}: {looked_at:?}");
        graph.gone("d");
        graph.gone("o");
    }
}
