//! Tests of ownership.

use serde_json::{Value, json};

use crate::element::Path;
use crate::managers::{Managers, Owned, differences};
use crate::schema::{Kind, ListKind, MapKind, Schema, Structural, TypeId};
use crate::set::{FieldSet, Filter};
use crate::typed::{Options, TypedValue};
use crate::update::{ConvertError, Converter, NoConversion, Updater};

/// An object, its managers, and the schema of its kind.
struct Live<C> {
    updater: Updater<C>,
    schema: Schema,
    root: TypeId,
    object: Value,
    managers: Managers,
}

fn list(kind: ListKind, items: Structural) -> Structural {
    Structural {
        list: Some(kind),
        items: Some(Box::new(items)),
        ..Structural::of(Kind::Array)
    }
}

fn object<const N: usize>(properties: [(&str, Structural); N]) -> Structural {
    let properties = properties.into_iter();
    Structural {
        properties: properties
            .map(|(name, schema)| (name.to_owned(), schema))
            .collect(),
        ..Structural::of(Kind::Object)
    }
}

fn description() -> Structural {
    let item = object([
        ("name", Structural::of(Kind::String)),
        ("v", Structural::of(Kind::Integer)),
    ]);
    object([
        ("n", Structural::of(Kind::Integer)),
        ("s", Structural::of(Kind::String)),
        (
            "struct",
            object([
                ("a", Structural::of(Kind::String)),
                ("b", Structural::of(Kind::String)),
            ]),
        ),
        ("set", list(ListKind::Set, Structural::of(Kind::String))),
        ("keyed", list(ListKind::Map(vec!["name".to_owned()]), item)),
    ])
}

// === impl Live ===

impl Live<NoConversion> {
    fn new(description: &Structural) -> Self {
        let (schema, root) = description.compile().expect("a schema");
        Self {
            updater: Updater::new(NoConversion),
            schema,
            root,
            object: json!({}),
            managers: Managers::new(),
        }
    }
}

impl<C: Converter> Live<C> {
    fn typed(&self, value: Value) -> TypedValue {
        let options = Options {
            duplicates: true,
            ..Options::default()
        };
        TypedValue::with_options(value, &self.schema, self.root, options).expect("a value")
    }

    #[track_caller]
    fn update(&mut self, manager: &str, new: Value) {
        let (live, new) = (self.typed(self.object.clone()), self.typed(new));
        let managers = self
            .updater
            .update(&live, &new, "v1", &self.managers, manager);
        self.managers = managers.expect("an update");
        self.object = new.into_value();
    }

    fn apply_in(
        &mut self,
        version: &str,
        manager: &str,
        config: Value,
        force: bool,
    ) -> Result<bool, String> {
        let (live, config) = (self.typed(self.object.clone()), self.typed(config));
        let applied = self
            .updater
            .apply(&live, &config, version, &self.managers, manager, force)
            .map_err(|error| error.to_string())?;
        self.managers = applied.managers;
        self.object = applied.object.into_value();
        Ok(applied.changed)
    }

    #[track_caller]
    fn apply(&mut self, manager: &str, config: Value) -> bool {
        self.apply_in("v1", manager, config, false)
            .expect("no conflict")
    }

    #[track_caller]
    fn check(&self, object: &Value, owners: &[(&str, &str)]) {
        assert_eq!(self.object, *object);
        let own = self
            .managers
            .iter()
            .map(|(name, owned)| (name.as_str(), owned.set.to_json()));
        let own: Vec<(&str, String)> = own.collect();
        let owners: Vec<(&str, String)> = owners
            .iter()
            .map(|(name, set)| (*name, (*set).to_owned()))
            .collect();
        assert_eq!(own, owners);
    }
}

#[test]
fn updates_take_what_they_change() {
    let mut live = Live::new(&description());
    live.update("a", json!({"n": 1, "s": "x"}));
    live.check(
        &json!({"n": 1, "s": "x"}),
        &[("a", r#"{"f:n":{},"f:s":{}}"#)],
    );
    live.update("b", json!({"n": 2, "s": "x"}));
    live.check(
        &json!({"n": 2, "s": "x"}),
        &[("a", r#"{"f:s":{}}"#), ("b", r#"{"f:n":{}}"#)],
    );
    live.update("b", json!({"n": 2}));
    live.check(&json!({"n": 2}), &[("b", r#"{"f:n":{}}"#)]);
}

#[test]
fn equal_values_are_shared() {
    let mut live = Live::new(&description());
    assert!(live.apply("a", json!({"n": 1})));
    assert!(!live.apply("b", json!({"n": 1})));
    live.check(
        &json!({"n": 1}),
        &[("a", r#"{"f:n":{}}"#), ("b", r#"{"f:n":{}}"#)],
    );
    // The field stays while another manager owns it.
    assert!(!live.apply("a", json!({})));
    live.check(&json!({"n": 1}), &[("b", r#"{"f:n":{}}"#)]);
    live.apply("b", json!({}));
    live.check(&json!(null), &[]);
}

#[test]
fn fields_of_others_conflict_unless_forced() {
    let mut live = Live::new(&description());
    live.update("a", json!({"n": 1, "s": "x", "set": ["p"]}));
    live.apply_in("v1", "b\"", json!({"struct": {"a": "1"}}), false)
        .expect("no conflict");
    let config = json!({"n": 2, "s": "y", "struct": {"a": "2"}, "set": ["p", "q"]});
    let error = live
        .apply_in("v1", "c", config.clone(), false)
        .expect_err("conflicts");
    assert_eq!(
        error,
        "conflicts with \"a\":\n- .n\n- .s\nconflicts with \"b\\\"\":\n- .struct.a"
    );
    let error = live
        .apply_in("v1", "c", json!({"n": 2}), false)
        .expect_err("a conflict");
    assert_eq!(error, "conflict with \"a\": .n");
    live.apply_in("v1", "c", config, true).expect("force");
    live.check(
        &json!({"n": 2, "s": "y", "struct": {"a": "2"}, "set": ["p", "q"]}),
        &[
            ("a", r#"{"f:set":{".":{},"v:\"p\"":{}}}"#),
            (
                "c",
                r#"{"f:n":{},"f:s":{},"f:set":{"v:\"p\"":{},"v:\"q\"":{}},"f:struct":{"f:a":{}}}"#,
            ),
        ],
    );
}

#[test]
fn what_is_no_longer_applied_is_removed_with_its_container() {
    let mut live = Live::new(&description());
    live.update("u", json!({"keyed": [{"name": "x", "v": 1}]}));
    live.apply(
        "a",
        json!({"struct": {"a": "1"}, "keyed": [{"name": "y", "v": 2}], "set": ["p"]}),
    );
    live.apply("a", json!({"n": 1}));
    live.check(
        &json!({"n": 1, "keyed": [{"name": "x", "v": 1}]}),
        &[
            ("a", r#"{"f:n":{}}"#),
            (
                "u",
                r#"{"f:keyed":{".":{},"k:{\"name\":\"x\"}":{".":{},"f:name":{},"f:v":{}}}}"#,
            ),
        ],
    );
}

#[test]
fn ignored_fields_are_not_owned_and_do_not_conflict() {
    let mut live = Live::new(&description());
    let ignored: FieldSet = [Path::fields(["struct"])].iter().collect();
    live.updater
        .filters
        .insert("v1".to_owned(), Filter::Exclude(ignored));
    live.update("a", json!({"n": 1, "struct": {"a": "1"}}));
    live.check(
        &json!({"n": 1, "struct": {"a": "1"}}),
        &[("a", r#"{"f:n":{}}"#)],
    );
    live.apply("b", json!({"s": "x", "struct": {"a": "2"}}));
    live.check(
        &json!({"n": 1, "s": "x", "struct": {"a": "2"}}),
        &[("a", r#"{"f:n":{}}"#), ("b", r#"{"f:s":{}}"#)],
    );
}

#[test]
fn live_duplicates_do_not_prevent_applies() {
    let mut live = Live::new(&description());
    live.update(
        "u",
        json!({"keyed": [{"name": "x", "v": 1}, {"name": "x", "v": 2}]}),
    );
    let key = r#"{"f:keyed":{".":{},"k:{\"name\":\"x\"}":{}}}"#;
    live.apply("a", json!({"n": 1}));
    live.check(
        &json!({"n": 1, "keyed": [{"name": "x", "v": 1}, {"name": "x", "v": 2}]}),
        &[("a", r#"{"f:n":{}}"#), ("u", key)],
    );
    let config = json!({"keyed": [{"name": "x", "v": 3}]});
    live.apply_in("v1", "a", config, true).expect("force");
    assert_eq!(live.object, json!({"keyed": [{"name": "x", "v": 3}]}));
}

#[test]
fn fields_of_a_map_that_became_atomic_are_owned_as_a_whole() {
    let mut live = Live::new(&description());
    live.apply("a", json!({"struct": {"a": "1"}}));
    let mut atomic = description();
    if let Some(member) = atomic.properties.get_mut("struct") {
        member.map = Some(MapKind::Atomic);
    }
    let mut changed = Live::new(&atomic);
    (changed.object, changed.managers) = (live.object, live.managers);
    changed.apply("b", json!({"n": 1}));
    changed.check(
        &json!({"n": 1, "struct": {"a": "1"}}),
        &[("a", r#"{"f:struct":{}}"#), ("b", r#"{"f:n":{}}"#)],
    );
}

/// Knows only `v1`.
struct OneVersion;

#[derive(Debug, thiserror::Error)]
#[error("broken")]
struct Broken;

impl Converter for OneVersion {
    type Error = Broken;

    fn convert(
        &self,
        object: &TypedValue,
        version: &str,
    ) -> Result<TypedValue, ConvertError<Broken>> {
        match version {
            "v1" => Ok(object.clone()),
            "broken" => Err(Broken.into()),
            other => Err(ConvertError::MissingVersion(other.to_owned())),
        }
    }
}

fn owned(version: &str) -> Owned {
    Owned {
        set: [Path::fields(["n"])].iter().collect(),
        version: version.to_owned(),
        applied: true,
    }
}

#[test]
fn managers_of_missing_versions_are_forgotten() {
    let base = Live::new(&description());
    let mut live = Live {
        updater: Updater::new(OneVersion),
        schema: base.schema,
        root: base.root,
        object: json!({"n": 1}),
        managers: [
            ("old".to_owned(), owned("v0")),
            ("a".to_owned(), owned("v0")),
        ]
        .into(),
    };
    live.apply("a", json!({"s": "x"}));
    // What the applier owned in the missing version is not removed.
    live.check(&json!({"n": 1, "s": "x"}), &[("a", r#"{"f:s":{}}"#)]);
    live.managers.insert("b".to_owned(), owned("broken"));
    let error = live
        .apply_in("v1", "a", json!({}), false)
        .expect_err("no conversion");
    assert_eq!(error, "broken");
}

#[test]
fn differences_of_managers_are_symmetric() {
    let a: Managers = [
        ("x".to_owned(), owned("v1")),
        ("same".to_owned(), owned("v1")),
    ]
    .into();
    let mut b: Managers = [
        ("y".to_owned(), owned("v2")),
        ("same".to_owned(), owned("v1")),
    ]
    .into();
    let names = |managers: &Managers| managers.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&differences(&a, &b)), ["x", "y"]);
    assert_eq!(names(&differences(&b, &a)), ["x", "y"]);
    b.insert("same".to_owned(), owned("v2"));
    assert_eq!(differences(&a, &b)["same"].version, "v2");
}
