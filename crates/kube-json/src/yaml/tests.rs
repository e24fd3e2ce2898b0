//! YAML as Go reads and writes it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{parse, to_string};

mod go;

fn check(input: &str, want: &serde_json::Value, duplicates: &[&str]) {
    let parsed = parse(input.as_bytes()).unwrap_or_else(|error| panic!("{input}: {error}"));
    assert_eq!(&parsed.value, want, "{input}");
    assert_eq!(parsed.duplicates, duplicates, "{input}");
}

#[test]
fn scalars_follow_yaml_1_1() {
    check(
        "a: yes\nb: off\nc: ~\n",
        &json!({"a": true, "b": false, "c": null}),
        &[],
    );
    check(
        "a: 0777\nb: 0x1f\nc: 1.0\nd: 1.5\n",
        &json!({"a": 511, "b": 31, "c": 1, "d": 1.5}),
        &[],
    );
    check(
        "a: 2024-01-01\nb: '1'\n",
        &json!({"a": "2024-01-01", "b": "1"}),
        &[],
    );
    check(
        "a: &x {b: 1}\nc: {<<: *x, d: 2}\n",
        &json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        &[],
    );
    check(
        "{\"a\":9007199254740993}",
        &json!({"a": 9_007_199_254_740_993_i64}),
        &[],
    );
    check("", &json!(null), &[]);
    check("---\na: 1\n---\nb: 2\n", &json!({"a": 1}), &[]);
    assert!(parse(b"1: x\n").expect("a map").value.get("1").is_some());
}

#[test]
fn repeated_keys_are_reported_with_their_line() {
    check(
        "a: 1\nb:\n  c: yes\n  c: 2\n",
        &json!({"a": 1, "b": {"c": 2}}),
        &["line 4: key \"c\" already set in map"],
    );
}

/// The outcome of a text as one line: JSON, or the error.
fn outcome(input: &str) -> Result<String, String> {
    let parsed = parse(input.as_bytes()).map_err(|error| error.to_string())?;
    let json = crate::to_vec(&parsed.value);
    Ok(String::from_utf8_lossy(&json).into_owned())
}

#[test]
fn texts_are_read_as_go_reads_them() {
    let mut wrong = Vec::new();
    for (input, want) in go::CASES {
        let want = match want {
            // Go prints a number of its own; the decoder of Kubernetes reads it again.
            Ok(json) => Ok(crate::parse(json.as_bytes()).map(|it| crate::to_vec(&it.value))),
            Err(error) => Err((*error).to_owned()),
        };
        let want = want.map(|json| String::from_utf8(json.expect(input)).expect("UTF-8"));
        let found = outcome(input);
        if found != want {
            wrong.push(format!("{input:?}: {found:?}, not {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn repeated_keys_are_those_of_go() {
    for (input, json, strict) in go::REPEATED {
        assert_eq!(outcome(input).as_deref(), Ok(*json), "{input:?}");
        let found = parse(input.as_bytes()).expect(input).duplicates;
        let strict: Vec<&str> = strict.lines().skip(1).map(str::trim_start).collect();
        assert_eq!(found, strict, "{input:?}");
    }
}

#[test]
fn malformed_yaml_is_rejected() {
    for input in ["a: [1\n", "a: b: c\n", "a: .nan\n"] {
        assert!(parse(input.as_bytes()).is_err(), "{input:?}");
    }
    assert!(parse(&b"[".repeat(100_000)).is_err());
}

/// Texts written by `sigs.k8s.io/yaml` v1.6.
#[test]
fn output_equals_go_yaml() {
    for (value, want) in [
        (
            json!({"a": ["x", {"b": 1, "c": [1, [3, []]]}, {}]}),
            "a:\n- x\n- b: 1\n  c:\n  - 1\n  - - 3\n    - []\n- {}\n",
        ),
        (
            json!({"a": "a: b", "b": "a #b", "c": "", "d": "'", "e": "\"", "f": "a:"}),
            "a: 'a: b'\nb: 'a #b'\nc: \"\"\nd: ''''\ne: '\"'\nf: 'a:'\n",
        ),
        (
            json!({"y": "yes", "n": null, "t": "true", "o": "0777", "d": "2024-01-01T00:00:00Z", "s": "12:30:45"}),
            "d: \"2024-01-01T00:00:00Z\"\n\"n\": null\no: \"0777\"\ns: \"12:30:45\"\nt: \"true\"\n\"y\": \"yes\"\n",
        ),
        (
            json!({"a": "line1\nline2\n", "b": "a\nb", "c": "a\n\n", "d": "\na", "e": " a\nb\n"}),
            "a: |\n  line1\n  line2\nb: |-\n  a\n  b\nc: |+\n  a\n\nd: |2-\n\n  a\ne: |2\n   a\n  b\n",
        ),
        (
            json!({"a": "a\u{1}b", "b": "é😀", "c": "a\t\nb", "d": "\u{7f}"}),
            "a: \"a\\x01b\"\nb: \"é\\U0001F600\"\nc: \"a\\t\\nb\"\nd: \"\\x7F\"\n",
        ),
        (
            json!({"a": 1e-7, "b": 1e23, "c": 1.5, "d": -5}),
            "a: 1e-07\nb: 1e+23\nc: 1.5\nd: -5\n",
        ),
        (
            json!({"1": "k", "a10": 1, "a9": 2, "true": "k", "a b": "http://x/y", "-": "-a"}),
            "'-': -a\n\"1\": k\na b: http://x/y\na9: 2\na10: 1\n\"true\": k\n",
        ),
        (
            json!({"long": "aaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb ccccccccccccccccccccccccccc ddddddddddddddddddddddddd"}),
            "long: aaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb ccccccccccccccccccccccccccc\n  ddddddddddddddddddddddddd\n",
        ),
        (json!([]), "[]\n"),
        (json!("x"), "x\n"),
    ] {
        assert_eq!(to_string(&value), want);
    }
}

#[test]
fn indentation_stops_at_its_limit() {
    crate::testing::on_stack(crate::STACK_SIZE, || {
        let below = |inner, _| {
            let fields = [("a".to_owned(), Value::from(vec![inner]))];
            Value::Object(fields.into_iter().collect())
        };
        let deep = |bottom| (0..800).fold(bottom, below);
        for bottom in [json!(vec![0; 50_000]), json!("a ".repeat(50_000))] {
            let value = json!([deep(bottom), {"b": {"c": 1}}]);
            let text = to_string(&value);
            assert!(text.len() < 1 << 20, "{}", text.len());
            assert!(
                text.starts_with("- a:\n  - a:\n    - a:\n"),
                "{}",
                &text[..100]
            );
            assert!(text.ends_with("- b:\n    c: 1\n"));
            let flow = text.lines().find_map(|line| line.split_once('{'));
            let (_, flow) = flow.expect("flow style");
            assert!(crate::parse(format!("{{{flow}").as_bytes()).is_ok());
        }
        let small = json!({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"j": 1}}}}}}}}}});
        assert!(!to_string(&small).contains('{'));
    });
}

#[test]
fn alias_expansion_is_bounded() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..20 {
        let before = format!("*a{},", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let error = parse(text.as_bytes()).expect_err("a bomb").to_string();
    assert!(error.starts_with("yaml: "), "{error}");
    let merges = |from: usize| format!("{{<<: [*a{from},*a{from},*a{from}]}}");
    let merges: String = (1..40)
        .map(|level| format!("a{level}: &a{level} {}\n", merges(level - 1)))
        .collect();
    assert!(parse(format!("a0: &a0 {{b: 1}}\n{merges}").as_bytes()).is_err());
    // Nested merges without aliases add the same keys once.
    for (levels, keys) in [(900, 1), (100, 20_000)] {
        let keys: String = (0..keys).map(|key| format!("k{key}: 1, ")).collect();
        let nested = format!(
            "a: {}{{{keys}}}{}\n",
            "{<<: ".repeat(levels),
            "}".repeat(levels)
        );
        assert!(parse(nested.as_bytes()).is_ok(), "{levels}");
    }
    let some = format!("a: {}{{b: 1}}{}\n", "{<<: ".repeat(20), "}".repeat(20));
    check(&some, &json!({"a": {"b": 1}}), &[]);
    // An anchor that is used a hundred times is within the limits.
    let used = format!("a: &a {{b: [1, 2, 3]}}\nc: [{}]\n", "*a,".repeat(100));
    assert!(parse(used.as_bytes()).is_ok());
}

#[test]
fn depth_is_bounded_in_every_style() {
    fn check(open: &str, close: &str) {
        let nested = |levels: usize| format!("{}0{}", open.repeat(levels), close.repeat(levels));
        let begun = std::time::Instant::now();
        assert!(parse(nested(super::MAX_DEPTH).as_bytes()).is_ok(), "{open}");
        for levels in [super::MAX_DEPTH + 1, 100_000] {
            assert!(parse(nested(levels).as_bytes()).is_err(), "{open}{levels}");
        }
        assert!(parse(open.repeat(1_000_000).as_bytes()).is_err(), "{open}");
        assert!(
            begun.elapsed().as_secs() < 20,
            "{open} {:?}",
            begun.elapsed()
        );
    }
    crate::testing::on_stack(crate::STACK_SIZE / 2, || {
        check("[", "]");
        check("{a: ", "}");
        check("- ", "");
    });
}

proptest! {
    #[test]
    fn written_text_parses_to_itself(text in "[ -~éa-z:#'\"\\\\\n\t\u{1f600}]{0,12}", key in "[a-z0-9:# -]{0,6}") {
        let value = json!({key: [text.clone(), {"k": text}]});
        let yaml = to_string(&value);
        let parsed = parse(yaml.as_bytes());
        prop_assert_eq!(parsed.map(|parsed| parsed.value), Ok(value), "{}", yaml);
    }

    #[test]
    fn hostile_text_never_panics(input in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&input);
    }
}
