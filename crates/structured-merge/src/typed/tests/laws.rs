//! Laws of merging and comparing.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::typed;
use crate::typed::Comparison;

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        (0..3).prop_map(|n| json!(n)),
        "[ab]".prop_map(|s| json!(s))
    ]
}

fn free() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn unique(names: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    names
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .collect()
}

/// Values of the schema without repeated items and nulls below declared members.
fn value() -> impl Strategy<Value = Value> {
    let names = || prop::collection::vec("[a-d]", 0..4).prop_map(unique);
    let labels = prop::collection::btree_map("[a-c]", "[xy]", 0..3);
    let keyed = names().prop_map(|names| {
        let items = names.iter().enumerate();
        items
            .map(|(n, name)| json!({"name": name, "v": {"n": n}}))
            .collect::<Vec<_>>()
    });
    let free = prop::collection::btree_map("[a-c]", free(), 1..3);
    let some = |strategy: BoxedStrategy<Value>| prop::option::of(strategy);
    (
        some((0..3).prop_map(|n| json!(n)).boxed()),
        some(labels.prop_map(|labels| json!(labels)).boxed()),
        some(names().prop_map(|names| json!(names)).boxed()),
        some(
            prop::collection::vec(0..3, 0..3)
                .prop_map(|list| json!(list))
                .boxed(),
        ),
        some(keyed.prop_map(|items| json!(items)).boxed()),
        some(free.prop_map(|free| json!(free)).boxed()),
    )
        .prop_map(|(n, labels, set, atomic, keyed, free)| {
            let members = [
                ("n", n),
                ("labels", labels),
                ("set", set),
                ("atomic", atomic),
                ("keyed", keyed),
                ("free", free),
            ];
            let members = members.into_iter();
            let given = members.filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(given.collect())
        })
}

proptest! {
    #[test]
    fn a_merge_contains_the_right_value_and_is_idempotent(a in value(), b in value()) {
        let (a, b) = (typed(a), typed(b));
        let merged = a.merge(&b).expect("a merged value");
        let again = merged.merge(&b).expect("a merged value");
        prop_assert_eq!(again.value(), merged.value());
        prop_assert!(a.merge(&a).expect("a merged value").equals(&a));
        let changes = merged.compare(&b).expect("a comparison");
        prop_assert!(changes.modified.is_empty() && changes.added.is_empty(), "{changes:?}");
        let both = a.to_field_set().expect("fields").union(&b.to_field_set().expect("fields"));
        let own = merged.to_field_set().expect("fields");
        prop_assert!(own.difference(&both).is_empty(), "{own:?} {both:?}");
    }

    #[test]
    fn comparison_is_symmetric_and_finds_no_difference_to_itself(a in value(), b in value()) {
        let (a, b) = (typed(a), typed(b));
        prop_assert!(a.compare(&a).expect("a comparison").is_same());
        let Comparison { removed, modified, added } = a.compare(&b).expect("a comparison");
        let back = b.compare(&a).expect("a comparison");
        prop_assert_eq!(back.added, removed);
        prop_assert_eq!(back.modified, modified);
        prop_assert_eq!(back.removed, added);
    }

    #[test]
    fn removal_of_all_leaves_no_fields(a in value()) {
        let a = typed(a);
        let set = a.to_field_set().expect("fields");
        let (schema, root) = (a.schema().clone(), a.type_id());
        let rest = a.remove_items(&set.with_named_fields(&schema, root));
        let left = rest.to_field_set().expect("fields");
        prop_assert!(left.difference(&set).is_empty());
        prop_assert!(left.intersection(&set).is_empty(), "{left:?}");
    }

    #[test]
    fn reconciliation_with_the_same_schema_changes_nothing(a in value()) {
        let a = typed(a);
        let set = a.to_field_set().expect("fields");
        prop_assert_eq!(a.reconcile(&set), Ok(None));
    }
}
