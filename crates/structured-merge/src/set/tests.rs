//! Tests of sets: laws, checked against sets of paths.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use crate::element::{Path, PathElement};
use crate::set::{FieldSet, Filter, Lookup, Matcher, Step};
use crate::wire::FieldsReader;

fn element() -> impl Strategy<Value = PathElement> {
    prop_oneof![
        "[a-c]".prop_map(|name| PathElement::field(&name)),
        (0..3).prop_map(|n| PathElement::key([("k", json!(n))])),
        (0..3).prop_map(|n| PathElement::value(json!(n))),
        (0..2_i64).prop_map(PathElement::Index),
    ]
}

fn paths() -> impl Strategy<Value = Vec<Path>> {
    let path = prop::collection::vec(element(), 1..5).prop_map(Path);
    prop::collection::vec(path, 0..24)
}

/// The serialized elements of a path, as a model of it.
fn words(path: &Path) -> Vec<String> {
    path.0.iter().map(PathElement::to_serialized).collect()
}

fn model(paths: &[Path]) -> BTreeSet<Vec<String>> {
    paths.iter().map(words).collect()
}

fn members(set: &FieldSet) -> BTreeSet<Vec<String>> {
    let members: Vec<Path> = set.paths().collect();
    let model = model(&members);
    assert_eq!(members.len(), model.len(), "a path is listed once");
    assert_eq!(set.len(), model.len());
    assert_eq!(set.is_empty(), model.is_empty());
    model
}

proptest! {
    #[test]
    fn operations_equal_those_on_sets_of_paths(a in paths(), b in paths()) {
        let (x, y): (FieldSet, FieldSet) = (a.iter().collect(), b.iter().collect());
        let (a, b) = (model(&a), model(&b));
        prop_assert_eq!(members(&x), a.clone());
        prop_assert_eq!(members(&x.union(&y)), a.union(&b).cloned().collect());
        prop_assert_eq!(members(&x.intersection(&y)), a.intersection(&b).cloned().collect());
        prop_assert_eq!(members(&x.difference(&y)), a.difference(&b).cloned().collect());
        let below = |path: &[String]| (1..=path.len()).any(|end| b.contains(&path[..end]));
        let rest = a.iter().filter(|path| !below(path)).cloned().collect();
        prop_assert_eq!(members(&x.recursive_difference(&y)), rest);
        let is_leaf = |path: &&Vec<String>| {
            !a.iter().any(|other| other.len() > path.len() && other.starts_with(path))
        };
        let leaves = a.iter().filter(is_leaf).cloned().collect();
        prop_assert_eq!(members(&x.leaves()), leaves);
    }

    #[test]
    fn equal_sets_have_equal_nodes(a in paths(), b in paths()) {
        let (x, y): (FieldSet, FieldSet) = (a.iter().collect(), b.iter().collect());
        let union = x.union(&y);
        prop_assert_eq!(&union, &y.union(&x));
        prop_assert_eq!(&union, &a.iter().chain(&b).collect::<FieldSet>());
        prop_assert_eq!(&union, &FieldSet::union_all([y.clone(), x.clone()]));
        prop_assert_eq!(&x.difference(&y).union(&x.intersection(&y)), &x);
        prop_assert_eq!(x == y, model(&a) == model(&b));
        let split = Lookup::new(x.clone()).split(&y);
        prop_assert_eq!(split, (y.intersection(&x), y.difference(&x)));
        let mut inserted = x.clone();
        b.iter().for_each(|path| inserted.insert(path));
        prop_assert_eq!(&union, &inserted);
    }

    #[test]
    fn queries_equal_those_on_sets_of_paths(a in paths(), path in paths(), prefix in element()) {
        let set: FieldSet = a.iter().collect();
        let model = model(&a);
        for path in path.iter().chain(&a) {
            prop_assert_eq!(set.contains(path), model.contains(&words(path)));
        }
        let prefix_word = prefix.to_serialized();
        let below = model.iter().filter(|path| path.len() > 1 && path[0] == prefix_word);
        let below = below.map(|path| path[1..].to_vec()).collect();
        prop_assert_eq!(members(&set.with_prefix(&prefix)), below);
    }

    #[test]
    fn json_is_read_as_written(a in paths()) {
        let set: FieldSet = a.iter().collect();
        let reader = FieldsReader::default();
        prop_assert_eq!(reader.read(&set.to_json()), Ok(set.clone()));
        prop_assert_eq!(reader.read_value(&set.to_value()), Ok(set));
    }

    #[test]
    fn a_matcher_keeps_what_begins_with_its_prefix(
        a in paths(),
        prefix in prop::collection::vec(prop::option::of(element()), 1..3),
    ) {
        let set: FieldSet = a.iter().collect();
        let steps: Vec<Step> = prefix.iter().cloned().map(|step| step.map_or(Step::Any, Step::Is)).collect();
        let matches = |path: &Vec<String>| {
            path.iter().zip(&prefix).all(|(word, step)| {
                step.as_ref().is_none_or(|step| *word == step.to_serialized())
            })
        };
        let kept = model(&a).into_iter().filter(matches).collect();
        let filter = Filter::Include(Matcher::prefix(steps));
        prop_assert_eq!(members(&filter.apply(&set)), kept);
    }
}

#[test]
fn paths_are_listed_level_by_level() {
    let paths = [
        Path::fields(["a"]),
        Path::fields(["a", "b"]),
        Path::fields(["c"]),
        Path::fields(["b", "a", "x"]),
    ];
    let set: FieldSet = paths.iter().collect();
    assert_eq!(set.to_string(), ".a\n.c\n.a.b\n.b.a.x");
}

#[test]
fn of_equal_numbers_a_union_keeps_the_one_of_the_reference() {
    let of = |text: &str| FieldsReader::default().read(text).expect("a set");
    let exact = |below: &[&str]| {
        let item = PathElement::value(json!(9_007_199_254_740_993_i64));
        let below = below.iter().copied().map(PathElement::field);
        FieldSet::of(&Path([item].into_iter().chain(below).collect()))
    };
    let rounded = of(r#"{"v:9007199254740993":{}}"#);
    assert_eq!(rounded.to_json(), r#"{"v:9007199254740992":{}}"#);
    assert_eq!(
        rounded.union(&exact(&[])).to_json(),
        r#"{"v:9007199254740993":{}}"#
    );
    assert_eq!(exact(&[]).union(&rounded).to_json(), rounded.to_json());
    assert_eq!(
        exact(&["a"]).union(&rounded).to_json(),
        r#"{"v:9007199254740993":{".":{},"f:a":{}}}"#
    );
}

#[test]
fn matchers_combine() {
    let set: FieldSet = [["a", "x"], ["b", "x"], ["c", "x"]]
        .map(Path::fields)
        .iter()
        .collect();
    let matcher = Matcher::prefix([Step::is("a")]).or(Matcher::prefix([Step::is("c"), Step::Any]));
    assert_eq!(matcher.apply(&set).to_string(), ".a.x\n.c.x");
    assert_eq!(matcher.or(Matcher::everything()).apply(&set), set);
    assert!(Matcher::default().apply(&set).is_empty());
}

#[test]
fn the_root_is_no_member() {
    let mut set = FieldSet::default();
    set.insert(&Path::default());
    assert!(set.is_empty());
    assert!(!set.contains(&Path::default()));
}

#[test]
fn deep_sets_need_no_stack() {
    let deep = Path(vec![PathElement::field("a"); 100_000]);
    let set: FieldSet = [deep.clone(), Path::fields(["b"])].iter().collect();
    let other: FieldSet = [deep.clone()].iter().collect();
    assert_eq!(set.len(), 2);
    assert!(set.contains(&deep));
    assert_eq!(set.intersection(&other), other);
    assert_eq!(set.difference(&other).to_string(), ".b");
    let reader = FieldsReader {
        depth: 200_000,
        ..FieldsReader::default()
    };
    assert_eq!(reader.read(&set.to_json()), Ok(set));
}
