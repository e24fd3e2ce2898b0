//! Random histories of writes, compared with the reference: merged objects, `fieldsV1` bytes, and the
//! texts of conflicts and errors.
//!
//! `CASES` sets the number of cases and `SEED` the first seed. A difference is shrunk to the shortest
//! prefix and the fewest steps that show it.

mod generate;
mod openapi;
mod oracle;
mod ours;
mod types;
mod variation;

use serde_json::{Value, json};

use crate::generate::Generator;
use crate::oracle::Oracle;
use crate::types::Types;

/// Cases unless `CASES` says otherwise; they take about 20 seconds.
const CASES: u64 = 2_000;

/// What tests print that compare nothing.
const SKIPPED: &str = "skipped: the reference is not available";

/// Cases per object of the reference's test data.
const KUBERNETES_CASES: u64 = 20;

#[test]
fn random_histories_have_the_outcome_of_the_reference() {
    let Ok(mut oracle) = Oracle::start().inspect_err(|reason| println!("{SKIPPED}: {reason}"))
    else {
        return;
    };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (first, cases) = (
        number("SEED").unwrap_or(0),
        number("CASES").unwrap_or(CASES),
    );
    let mut counts = Counts::default();
    for seed in first..first + cases {
        let case = Generator::new(seed).case();
        let types = Types::of(&case["schema"]);
        check(&mut oracle, case, &types, &mut counts);
    }
    println!("{counts:?}");
    // A generator that makes only invalid or unstable cases would prove nothing.
    assert!(counts.stable * 10 > counts.cases * 9, "{counts:?}");
    assert!(counts.succeeded * 2 > counts.steps, "{counts:?}");
    assert!(counts.conflicts * 50 > counts.steps, "{counts:?}");
}

#[test]
fn histories_of_kubernetes_objects_have_the_outcome_of_the_reference() {
    let Ok(mut oracle) = Oracle::start().inspect_err(|reason| println!("{SKIPPED}: {reason}"))
    else {
        return;
    };
    let Some(folder) = Oracle::testdata() else {
        println!("{SKIPPED}: no test data in the module cache");
        return;
    };
    let mut counts = Counts::default();
    for schema in ["k8s-schema.yaml", "k8s-schema-10pct-fieldoverride.yaml"] {
        let types = Types::of(&oracle.testdata_file(&folder.join(schema)));
        for (file, ty) in [
            ("pod.yaml", "io.k8s.api.core.v1.Pod"),
            ("node.yaml", "io.k8s.api.core.v1.Node"),
            (
                "k8s-deployment.yaml",
                "io.k8s.api.extensions.v1beta1.Deployment",
            ),
        ] {
            let object = oracle.testdata_file(&folder.join(file));
            for seed in 0..KUBERNETES_CASES {
                let case = Generator::new(seed).history(ty, &object);
                check(&mut oracle, case, &types, &mut counts);
            }
        }
    }
    println!("{counts:?}");
    assert!(counts.succeeded * 2 > counts.steps, "{counts:?}");
    assert!(counts.conflicts * 50 > counts.steps, "{counts:?}");
}

#[test]
fn schemas_of_openapi_are_those_of_the_reference() {
    let Ok(mut oracle) = Oracle::start().inspect_err(|reason| println!("{SKIPPED}: {reason}"))
    else {
        return;
    };
    for seed in 0..1_000 {
        let openapi = Generator::new(seed).openapi(3);
        let theirs = oracle.answer(&json!({"openapi": openapi}))["testdata"].take();
        let theirs = Types::of(&theirs);
        let root = theirs.named["root"];
        let (schema, own) = openapi::description(&openapi).compile().expect("a schema");
        let (ours, theirs) = (
            openapi::written(&schema, own),
            openapi::written(&theirs.schema, root),
        );
        assert_eq!(ours, theirs, "{openapi}");
    }
}

/// Compares the answers to one case.
fn check(oracle: &mut Oracle, case: Value, types: &Types, counts: &mut Counts) {
    let theirs = oracle.answer(&case);
    let ours = ours::answer(&case, types);
    counts.add(&theirs);
    if let Some(first) = difference(&ours, &theirs) {
        let small = shrink(oracle, case, types);
        let last = difference(&ours::answer(&small, types), &oracle.answer(&small));
        panic!("{first}\nsmallest: {}\n{small}\n", last.unwrap_or_default());
    }
}

#[derive(Debug, Default)]
struct Counts {
    cases: usize,
    stable: usize,
    steps: usize,
    succeeded: usize,
    conflicts: usize,
}

// === impl Counts ===

impl Counts {
    fn add(&mut self, answer: &Value) {
        self.cases += 1;
        self.stable += usize::from(answer["unstable"] != true);
        for step in answer["steps"].as_array().expect("steps") {
            self.steps += 1;
            self.succeeded += usize::from(step.get("error").is_none());
            self.conflicts += usize::from(step["conflict"] == true);
        }
    }
}

/// The first difference of two answers.
fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    if ours["fields"] != theirs["fields"] {
        return Some(format!(
            "fields {}\ntheirs {}",
            ours["fields"], theirs["fields"]
        ));
    }
    // The outcome depends on the order of Go's maps.
    if theirs["unstable"] == true {
        return None;
    }
    let steps = ours["steps"].as_array()?.iter();
    for (at, (a, b)) in steps.zip(theirs["steps"].as_array()?).enumerate() {
        if let Some(difference) = step_difference(a, b) {
            return Some(format!("step {at}: {difference}"));
        }
    }
    None
}

fn step_difference(ours: &Value, theirs: &Value) -> Option<String> {
    let errors = (ours.get("error"), theirs.get("error"));
    if !same_error(errors.0, errors.1) {
        return Some(format!("error {:?}\ntheirs {:?}", errors.0, errors.1));
    }
    let texts = ["set", "leaves", "removed", "modified", "added"];
    let values = ["object", "managers", "extracted", "withKeys", "rest"];
    for name in texts.into_iter().chain(values) {
        let a = ours.get(name).unwrap_or(&Value::Null);
        let b = theirs.get(name).unwrap_or(&Value::Null);
        let same = types::as_floats(a) == types::as_floats(b);
        if !same {
            return Some(format!("{name} {a}\ntheirs {b}"));
        }
    }
    let changed = |outcome: &Value| outcome["changed"] == true;
    let differ = changed(ours) != changed(theirs);
    differ.then(|| format!("changed {}, theirs {}", ours["changed"], theirs["changed"]))
}

/// Whether two errors are the same, except for the order of the parts, which is random for maps in
/// the reference.
fn same_error(ours: Option<&Value>, theirs: Option<&Value>) -> bool {
    let (Some(a), Some(b)) = (ours.and_then(Value::as_str), theirs.and_then(Value::as_str)) else {
        return ours.is_none() && theirs.is_none();
    };
    if a.starts_with("conflict") || b.starts_with("conflict") {
        return a == b;
    }
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    lines(a) == lines(b)
}

/// Drops steps and members while the answers differ.
fn shrink(oracle: &mut Oracle, case: Value, types: &Types) -> Value {
    let mut differs =
        |case: &Value| difference(&ours::answer(case, types), &oracle.answer(case)).is_some();
    let mut small = case;
    let mut progress = true;
    while progress {
        progress = false;
        for smaller in smaller(&small) {
            if differs(&smaller) {
                small = smaller;
                progress = true;
                break;
            }
        }
    }
    small
}

/// Cases with one step, member or text less.
fn smaller(case: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    if case["ignored"] != json!({}) && case["schema"].is_object() {
        let mut less = case.clone();
        less["ignored"] = json!({});
        out.push(less);
    }
    for list in ["steps", "fields"] {
        for at in 0..case[list].as_array().map_or(0, Vec::len) {
            let mut less = case.clone();
            less[list].as_array_mut().expect("a list").remove(at);
            out.push(less);
        }
    }
    for at in 0..case["steps"].as_array().map_or(0, Vec::len) {
        for object in parts(&case["steps"][at]["object"]) {
            let mut less = case.clone();
            less["steps"][at]["object"] = object;
            out.push(less);
        }
    }
    out
}

/// The value with one member or item less, at any depth.
fn parts(value: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| *name != "ver") {
                let mut less = members.clone();
                less.remove(name);
                out.push(Value::Object(less));
                out.extend(parts(member).into_iter().map(|part| {
                    let mut less = members.clone();
                    less.insert(name.clone(), part);
                    Value::Object(less)
                }));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let mut less = items.clone();
                less.remove(at);
                out.push(Value::Array(less));
                out.extend(parts(item).into_iter().map(|part| {
                    let mut less = items.clone();
                    less[at] = part;
                    Value::Array(less)
                }));
            }
        }
        _ => {}
    }
    out
}
