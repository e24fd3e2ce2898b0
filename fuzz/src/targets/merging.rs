//! Properties of server-side apply.

use serde_json::{Value, json};
use structured_merge::{
    Applied, ApplyError, FieldSet, FieldsReader, Kind, ListKind, Managers, NoConversion, Options,
    Schema, Structural, TypeId, TypedValue, Updater,
};

/// A set that was read is written as text that is read as the same set.
pub fn fields_v1(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let reader = FieldsReader::default();
    let Ok(set) = reader.read(text) else {
        return;
    };
    let written = set.to_json();
    let again = reader.read(&written);
    let again = again.unwrap_or_else(|error| panic!("{written:?}: {error}"));
    assert_eq!(again.to_json(), written);
    assert_eq!(again, set, "{text:?}");
    assert_eq!(set.union(&again), set);
    assert_eq!(set.difference(&again), FieldSet::default());
    let tree = reader.read_value(&set.to_value());
    assert_eq!(tree.ok().as_ref(), Some(&set));
}

/// An apply with force succeeds, the manager owns what it applied and nothing else, and the same
/// apply again changes nothing. The bytes are a live object and a configuration, divided by a zero.
pub fn merging(data: &[u8]) {
    let (live, config) = super::divided(data);
    let (Ok(live), Ok(config)) = (kube_json::parse(live), kube_json::parse(config)) else {
        return;
    };
    for (schema, root) in schemas() {
        apply_twice(&schema, root, &live.value, &config.value);
    }
}

fn apply_twice(schema: &Schema, root: TypeId, live: &Value, config: &Value) {
    let typed = |value: &Value, duplicates| {
        let options = Options {
            duplicates,
            ..Options::default()
        };
        TypedValue::with_options(value.clone(), schema, root, options).ok()
    };
    let (Some(live), Some(config)) = (typed(live, true), typed(config, false)) else {
        return;
    };
    let Some(empty) = typed(&json!({}), true) else {
        return;
    };
    let updater = Updater::new(NoConversion);
    let managers = updater.update(&empty, &live, "v1", &Managers::new(), "writer");
    let Ok(managers) = managers else {
        return;
    };
    let set = config.to_field_set().unwrap_or_default();
    for force in [false, true] {
        let applied = updater.apply(&live, &config, "v1", &managers, "applier", force);
        let applied = match applied {
            Ok(applied) => applied,
            Err(ApplyError::Conflicts(conflicts)) => {
                assert!(!force, "a conflict with force");
                let conflicts = conflicts.to_set();
                assert_eq!(
                    conflicts.difference(&managers["writer"].set),
                    FieldSet::default()
                );
                continue;
            }
            Err(_) => return,
        };
        let owned = applied.managers.get("applier");
        let owned = owned.map(|owned| owned.set.clone()).unwrap_or_default();
        assert_eq!(owned, set);
        let Applied {
            object, managers, ..
        } = applied;
        let again = updater.apply(&object, &config, "v1", &managers, "applier", false);
        let again = again.unwrap_or_else(|error| panic!("the second apply fails: {error}"));
        assert!(
            !again.changed,
            "{} then {}",
            object.value(),
            again.object.value()
        );
        assert_eq!(again.managers, managers);
    }
}

/// Without a schema, and with lists and maps of every kind.
fn schemas() -> Vec<(Schema, TypeId)> {
    let text = || Structural::of(Kind::String);
    let list = |kind, items| Structural {
        list: Some(kind),
        items: Some(Box::new(items)),
        ..Structural::of(Kind::Array)
    };
    let map = |properties: Vec<(&str, Structural)>| Structural {
        properties: properties
            .into_iter()
            .map(|(name, it)| (name.to_owned(), it))
            .collect(),
        ..Structural::of(Kind::Object)
    };
    let keyed = list(
        ListKind::Map(vec!["a".to_owned()]),
        map(vec![("a", text()), ("b", text())]),
    );
    let of_every_kind = map(vec![
        ("a", list(ListKind::Set, text())),
        ("b", keyed),
        ("c", list(ListKind::Atomic, text())),
        (
            "d",
            map(vec![("a", text()), ("b", Structural::of(Kind::Integer))]),
        ),
    ]);
    let free = Structural {
        preserve_unknown_fields: true,
        ..Structural::of(Kind::Object)
    };
    let compiled = [of_every_kind, free].map(|it| it.compile());
    compiled.into_iter().filter_map(Result::ok).collect()
}
