//! The crate's answer to a case, in the form of the oracle's.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use structured_merge::{
    Applied, ConvertError, Converter, FieldsReader, Filter, KeyFields, Managers, Matcher, Options,
    Owned, Schema, Step, TypeId, TypedValue, Updater, ValidationErrors,
};

use crate::types::Types;

/// The types of the versions that exist at one step.
struct Versions<'a> {
    schema: &'a Schema,
    types: BTreeMap<String, TypeId>,
}

/// What a step does.
struct Write<'a> {
    live: &'a TypedValue,
    object: &'a TypedValue,
    managers: &'a Managers,
}

pub(crate) fn answer(case: &Value, types: &Types) -> Value {
    let mut live = json!({});
    let mut managers = json!({});
    let mut steps = Vec::new();
    for step in case["steps"].as_array().expect("steps") {
        let roots = step["types"].as_object().expect("types");
        let roots = roots.iter().map(|(version, name)| {
            let root = types.named[name.as_str().expect("a name")];
            (version.clone(), root)
        });
        let versions = Versions {
            schema: &types.schema,
            types: roots.collect(),
        };
        let outcome = run(case, step, versions, &live, &managers);
        if outcome.get("error").is_none() {
            live = outcome["object"].clone();
            managers = outcome["managers"].clone();
        }
        steps.push(outcome);
    }
    let texts = case["fields"].as_array().expect("fields").iter();
    let fields = texts.map(|text| {
        let set = FieldsReader::default().read(text.as_str().expect("a text"));
        set.map_or(Value::Null, |set| json!(set.to_json()))
    });
    json!({"steps": steps, "fields": fields.collect::<Vec<_>>()})
}

fn run(case: &Value, step: &Value, versions: Versions<'_>, live: &Value, before: &Value) -> Value {
    let mut out = json!({"object": live, "managers": before});
    let version = step["version"].as_str().expect("a version");
    let is_apply = step["op"] == "apply";
    let typed = |value: &Value, duplicates, what: &str| {
        let typed = versions.typed(value, version, duplicates);
        typed.map_err(|error| format!("{what}: {error}"))
    };
    let pair = typed(live, true, "live")
        .and_then(|live| Ok((live, typed(&step["object"], !is_apply, "object")?)));
    let (live, object) = match pair {
        Ok(pair) => pair,
        Err(error) => {
            out["error"] = json!(error);
            return out;
        }
    };
    describe(&mut out, &live, &object);
    let managers = read_managers(before, versions.schema);
    let write = Write {
        live: &live,
        object: &object,
        managers: &managers,
    };
    match write.run(case, step, versions) {
        Ok((object, changed, managers)) => {
            if let Some(object) = object {
                out["object"] = object;
            }
            out["changed"] = json!(changed);
            out["managers"] = managers
                .into_iter()
                .map(|(name, owned)| (name, entry(&owned)))
                .collect();
        }
        Err((error, conflict)) => {
            out["error"] = json!(error);
            out["conflict"] = json!(conflict);
        }
    }
    out
}

fn entry(owned: &Owned) -> Value {
    json!({"fields": owned.set.to_json(), "version": owned.version, "applied": owned.applied})
}

fn read_managers(from: &Value, schema: &Schema) -> Managers {
    let reader = FieldsReader {
        names: Some(schema),
        ..FieldsReader::default()
    };
    let managers = from.as_object().expect("managers").iter();
    managers
        .map(|(name, owned)| {
            let fields = owned["fields"].as_str().expect("fields");
            let set = reader.read(fields).expect("a set");
            // Both forms of reading agree.
            let value = serde_json::from_str(fields).expect("JSON");
            assert_eq!(reader.read_value(&value), Ok(set.clone()), "{fields}");
            let owned = Owned {
                set,
                version: owned["version"].as_str().expect("a version").to_owned(),
                applied: owned["applied"] == true,
            };
            (name.clone(), owned)
        })
        .collect()
}

fn describe(out: &mut Value, live: &TypedValue, object: &TypedValue) {
    let set = object.to_field_set().expect("a set");
    let changes = live.compare(object).expect("a comparison");
    let live_set = live.to_field_set().expect("a set");
    out["set"] = json!(set.to_json());
    assert_eq!(
        set.to_value(),
        serde_json::from_str::<Value>(&set.to_json()).expect("JSON")
    );
    out["leaves"] = json!(set.leaves().to_json());
    out["removed"] = json!(changes.removed.to_json());
    out["modified"] = json!(changes.modified.to_json());
    out["added"] = json!(changes.added.to_json());
    let extracted = object.extract_items(&live_set, KeyFields::AsListed);
    out["extracted"] = extracted.into_value();
    let with_keys = object.extract_items(&set.leaves(), KeyFields::Append);
    out["withKeys"] = with_keys.into_value();
    out["rest"] = live.remove_items(&set).into_value();
}

// === impl Write ===

impl Write<'_> {
    /// The object, whether it changed, and the managers; or the error, and whether it is a conflict.
    fn run(
        &self,
        case: &Value,
        step: &Value,
        versions: Versions<'_>,
    ) -> Result<(Option<Value>, bool, Managers), (String, bool)> {
        let text = |name: &str| step[name].as_str().expect("a text");
        let reader = FieldsReader::default();
        let ignored = case["ignored"].as_object().expect("ignored").iter();
        let filters = ignored.map(|(version, fields)| {
            let set = reader.read_value(fields).expect("a set");
            (version.clone(), Filter::Exclude(set))
        });
        let included = case["included"].as_object().expect("included").iter();
        let included = included.map(|(version, prefixes)| {
            let prefixes = prefixes.as_array().expect("prefixes").iter().map(prefix);
            let matcher = prefixes.reduce(Matcher::or).unwrap_or_default();
            (version.clone(), Filter::Include(matcher))
        });
        let filters = filters.chain(included);
        let updater = Updater {
            converter: versions,
            filters: filters.collect(),
        };
        let (version, manager) = (text("version"), text("manager"));
        if step["op"] == "update" {
            let managers = updater.update(self.live, self.object, version, self.managers, manager);
            let managers = managers.map_err(|error| (error.to_string(), false))?;
            return Ok((Some(self.object.value().clone()), true, managers));
        }
        let force = step["force"] == true;
        let applied = updater.apply(
            self.live,
            self.object,
            version,
            self.managers,
            manager,
            force,
        );
        let Applied {
            object,
            changed,
            managers,
        } = applied.map_err(|error| {
            let conflict = matches!(error, structured_merge::ApplyError::Conflicts(_));
            (error.to_string(), conflict)
        })?;
        Ok((changed.then(|| object.into_value()), changed, managers))
    }
}

/// The pattern of a prefix; null is any element.
fn prefix(steps: &Value) -> Matcher {
    let steps = steps.as_array().expect("steps").iter();
    Matcher::prefix(steps.map(|step| step.as_str().map_or(Step::Any, Step::is)))
}

// === impl Versions ===

impl Versions<'_> {
    fn typed(
        &self,
        value: &Value,
        version: &str,
        duplicates: bool,
    ) -> Result<TypedValue, ConvertError<ValidationErrors>> {
        let missing = || ConvertError::MissingVersion(version.to_owned());
        let ty = *self.types.get(version).ok_or_else(missing)?;
        let renamed = match value {
            Value::Object(members) if members.get("ver") != Some(&json!(version)) => {
                rename(members, version)
            }
            other => other.clone(),
        };
        let options = Options {
            duplicates,
            ..Options::default()
        };
        Ok(TypedValue::with_options(renamed, self.schema, ty, options)?)
    }
}

impl Converter for Versions<'_> {
    type Error = ValidationErrors;

    fn convert(
        &self,
        object: &TypedValue,
        version: &str,
    ) -> Result<TypedValue, ConvertError<Self::Error>> {
        let same = object.value().get("ver") == Some(&json!(version));
        if same && self.types.contains_key(version) {
            return Ok(object.clone());
        }
        self.typed(object.value(), version, true)
    }
}

fn rename(members: &Map<String, Value>, version: &str) -> Value {
    let mut out = Map::new();
    for (name, value) in members {
        let name = match name.split_once("_v") {
            Some((base, _)) => format!("{base}_{version}"),
            None => name.clone(),
        };
        out.insert(name, value.clone());
    }
    if members.contains_key("ver") {
        out.insert("ver".to_owned(), json!(version));
    }
    Value::Object(out)
}
