//! Matches of selectors, and errors of malformed selectors.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::{FieldSelector, LabelSelector, Lookup};

fn labels(text: &str) -> BTreeMap<String, String> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn check(selector: &str, matching: &[&str], other: &[&str]) {
    let parsed = LabelSelector::parse(selector).expect("a selector");
    for set in matching {
        assert!(parsed.matches(&labels(set)), "{selector:?} matches {set:?}");
    }
    for set in other {
        assert!(
            !parsed.matches(&labels(set)),
            "{selector:?} does not match {set:?}"
        );
    }
}

#[test]
fn label_selectors_match() {
    check("", &["", "x=y"], &[]);
    check("x=y", &["x=y", "x=y,z=w"], &["", "x=z", "z=w"]);
    check("x==y,z=w", &["x=y,z=w"], &["x=y", "x=z,z=w"]);
    check(" x != y ", &["", "x=z"], &["x=y"]);
    check("x in (a,b)", &["x=a", "x=b"], &["x=c", ""]);
    check("x notin (a , b)", &["x=c", ""], &["x=a"]);
    check("notin in (in,notin)", &["notin=in"], &["notin=x"]);
    check("x", &["x=", "x=1"], &[""]);
    check("!x", &[""], &["x="]);
    check("x>1,x<5", &["x=2"], &["x=1", "x=5", "x=y", ""]);
    check("x=", &["x="], &["x=1", ""]);
    check("x in ()", &["x="], &["x=1"]);
    check("x in (,a)", &["x=", "x=a"], &["x=b"]);
    check("a.b/c=d", &["a.b/c=d"], &["c=d"]);
}

#[test]
fn requirements_of_one_key_are_merged() {
    check(
        "x in (a,b,c),x in (b,c),x!=c",
        &["x=b"],
        &["x=a", "x=c", ""],
    );
    check("x notin (a),x notin (b),x", &["x=c"], &["x=a", "x=b", ""]);
    check("x>1,x>3,x<9,x<7", &["x=4", "x=6"], &["x=3", "x=7", "x=y"]);
    check("x in (1,5,y),x>3", &["x=5"], &["x=1", "x=y"]);
    check("!x,x!=a", &["", "y=a"], &["x=b"]);
    // More keys than labels, so that the labels are looked up in the selector.
    check(
        "a,b!=1,!c,d notin (x,y)",
        &["a=1", "a=1,b=2,d=z"],
        &["a=1,b=1", "b=2", "a=1,c=", "a=1,d=y"],
    );
}

#[test]
fn contradictions_match_nothing() {
    for (selector, nothing) in [
        ("x=a,x=b", true),
        ("x,!x", true),
        ("x in (a,b),x notin (a,b)", true),
        ("x in (a),x>1", true),
        ("x=a,x!=b", false),
        ("", false),
    ] {
        let parsed = LabelSelector::parse(selector).expect("a selector");
        assert_eq!(parsed.is_nothing(), nothing, "{selector}");
        assert!(!nothing || !parsed.matches(&labels("x=a")), "{selector}");
    }
    let parsed = FieldSelector::parse("x=a,x=b").expect("a selector");
    assert!(parsed.is_nothing() && !parsed.matches(&labels("x=a")));
    assert!(!FieldSelector::parse("x=a,x!=b").expect("one").is_nothing());
}

/// Counts the lookups.
struct Counted(BTreeMap<String, String>, Cell<usize>);

impl Lookup for Counted {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.1.set(self.1.get() + 1);
        self.0.lookup(name)
    }

    fn count(&self) -> usize {
        self.0.count()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str) -> bool) -> bool {
        self.0.each(&mut |name, value| {
            self.1.set(self.1.get() + 1);
            visit(name, value)
        })
    }
}

#[test]
fn matching_cost_is_independent_of_requirements() {
    let many = |term: fn(usize) -> String| {
        let terms: Vec<String> = (0..10_000).map(term).collect();
        terms.join(",")
    };
    let few = labels("a=1,b=2,c=3");
    let crowded: BTreeMap<String, String> = (0..10_000)
        .map(|at| (format!("k{at:05}"), String::new()))
        .collect();
    for (selector, labels, most) in [
        (many(|at| format!("a!=x{at}")), &few, 1),
        (many(|at| format!("a notin (x{at},y{at}),b")), &few, 2),
        (many(|at| format!("k{at}!=x")), &few, 3),
        (many(|at| format!("!k{at}")), &few, 3),
        // The selector has more keys than the object has labels, so no key is looked up.
        (many(|at| format!("k{at}")), &few, 0),
        (many(|_| "a=1".to_owned()), &few, 1),
        ("a=1,b!=2".to_owned(), &crowded, 2),
    ] {
        let counted = Counted(labels.clone(), Cell::default());
        let _ = LabelSelector::parse(&selector)
            .expect("one")
            .matches(&counted);
        assert!(
            counted.1.get() <= most,
            "{} for {:.40}",
            counted.1.get(),
            selector
        );
    }
    let counted = Counted(few, Cell::default());
    let fields = many(|at| format!("a!=x{at}"));
    assert!(
        FieldSelector::parse(&fields)
            .expect("one")
            .matches(&counted)
    );
    assert_eq!(counted.1.get(), 1);
}

#[test]
fn label_selector_errors() {
    let name = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    for (selector, want) in [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt".to_owned()),
        ("a==b==c", "found '==', expected: ',' or 'end of string'".to_owned()),
        ("a===b", "unable to parse requirement: found '=', expected: identifier".to_owned()),
        ("=a", "found '=', expected: !, identifier, or 'end of string'".to_owned()),
        ("a,", "found '', expected: identifier after ','".to_owned()),
        ("!=a", "found '!=', expected: !, identifier, or 'end of string'".to_owned()),
        ("!", "unable to parse requirement: found '', expected: identifier".to_owned()),
        ("!a=b", "found '=', expected: ',' or 'end of string'".to_owned()),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'".to_owned()),
        ("a in b", "unable to parse requirement: found 'b' expected: '('".to_owned()),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier".to_owned()),
        ("-x", format!("unable to parse requirement: <nil>: Invalid value: \"-x\": {name}")),
        ("a=-x", format!("unable to parse requirement: values[0][a]: Invalid value: \"-x\": {value}")),
        ("a>b", "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer".to_owned()),
    ] {
        let error = LabelSelector::parse(selector).expect_err(selector);
        assert_eq!(error.to_string(), want);
    }
}

#[test]
fn equalities_lists_labels_with_one_value() {
    let parsed = LabelSelector::parse("d!=e,c in (x),b=y,a in (p,q)").expect("a selector");
    assert_eq!(
        parsed.equalities().collect::<Vec<_>>(),
        [("b", "y"), ("c", "x")]
    );
}

#[test]
fn field_selectors_match() {
    let parsed = FieldSelector::parse(r"metadata.name=a,,spec.x!=y\,\=\\").expect("a selector");
    assert_eq!(parsed.required("metadata.name"), Some("a"));
    assert_eq!(parsed.required("spec.x"), None);
    assert!(parsed.matches(&labels("metadata.name=a")));
    assert!(!parsed.matches(&labels("metadata.name=b")));
    let differs = BTreeMap::from([
        ("metadata.name".to_owned(), "a".to_owned()),
        ("spec.x".to_owned(), r"y,=\".to_owned()),
    ]);
    assert!(!parsed.matches(&differs));
    assert!(
        FieldSelector::parse("a=")
            .expect("a selector")
            .matches(&labels(""))
    );
}

#[test]
fn field_selector_errors() {
    for (selector, want) in [
        ("foo", "invalid selector: 'foo'; can't understand 'foo'"),
        (
            "a=b,foo",
            "invalid selector: 'a=b,foo'; can't understand 'foo'",
        ),
        (
            r"a=\x",
            r"invalid field selector: invalid escape sequence: \x",
        ),
        (
            r"a=b\",
            r"invalid field selector: invalid escape sequence: \",
        ),
        (
            "a=b=c",
            "invalid field selector: unescaped character in value: 61",
        ),
    ] {
        let error = FieldSelector::parse(selector).expect_err(selector);
        assert_eq!(error.to_string(), want);
    }
}

#[test]
fn json_objects_serve_as_label_sets() {
    let value = serde_json::json!({"a": "b", "n": 1});
    let map = value.as_object().expect("an object");
    assert_eq!(
        (map.lookup("a"), map.lookup("n"), map.lookup("z")),
        (Some("b"), None, None)
    );
}
