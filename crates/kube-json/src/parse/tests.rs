//! Values, error messages, limits and properties of the JSON parser.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{MAX_DEPTH, STACK_SIZE, parse, reparse};
use crate::testing::on_stack;
use crate::{to_vec, to_vec_pretty};

fn check(input: &str, want: &Value) {
    let parsed = parse(input.as_bytes()).unwrap_or_else(|error| panic!("{input}: {error}"));
    assert_eq!(&parsed.value, want, "{input}");
    assert_eq!(parsed.duplicates, Vec::<String>::new(), "{input}");
}

fn check_error(input: &[u8], want: &str) {
    let error = parse(input).expect_err("a syntax error");
    assert_eq!(
        error.to_string(),
        want,
        "{}",
        String::from_utf8_lossy(input)
    );
}

#[test]
fn values() {
    check(
        " \t\r\n{ \"a\" : [ 1 , true , false , null , {} , [] ] } ",
        &json!({"a": [1, true, false, null, {}, []]}),
    );
    check(
        r#""\"\\\/\b\f\n\r\t\u0041\ud83d\ude00""#,
        &json!("\"\\/\u{8}\u{c}\n\r\tA😀"),
    );
    check(r#""\u0000""#, &json!("\0"));
    check(r#""\ud800""#, &json!("\u{fffd}"));
    check(
        r#""\udc00x\ud800\u0041\ud800\ud83d\ude00""#,
        &json!("\u{fffd}x\u{fffd}A\u{fffd}😀"),
    );
}

#[test]
fn integers_stay_integers() {
    check("9007199254740993", &json!(9_007_199_254_740_993_i64));
    check("-9223372036854775808", &json!(i64::MIN));
    check("-0", &json!(0));
    check("9223372036854775808", &json!(9_223_372_036_854_775_808_f64));
    check("1.0", &json!(1.0));
    check("1e3", &json!(1000.0));
    check("1E-2", &json!(0.01));
    assert!(parse(b"1.0").expect("a number").value.is_f64());
}

#[test]
fn numbers_print_as_go_prints_them() {
    for (input, want) in [
        ("1e3", "1000"),
        ("1.0", "1"),
        ("-0", "0"),
        ("12345678901234567890", "12345678901234567000"),
        ("1.5e21", "1.5e+21"),
        ("0.0000001", "1e-7"),
    ] {
        let value = parse(input.as_bytes()).expect("a number").value;
        assert_eq!(String::from_utf8_lossy(&to_vec(&value)), want);
    }
}

#[test]
fn invalid_bytes_become_replacement_characters() {
    let parsed = parse(b"\"a\xff\xe2\x82z\"").expect("a string");
    assert_eq!(parsed.value, json!("a\u{fffd}\u{fffd}\u{fffd}z"));
}

#[test]
fn duplicates_are_found_in_document_order() {
    let input = br#"{"a":1,"b":[{},{"c":{"d":1,"d":2}}],"a":{"x":1,"x":2},"a":{"x":1,"x":3}}"#;
    let parsed = parse(input).expect("an object");
    assert_eq!(parsed.duplicates, ["b[1].c.d", "a", "a.x"]);
    assert_eq!(
        parsed.value,
        json!({"a": {"x": 3}, "b": [{}, {"c": {"d": 2}}]})
    );
}

#[test]
fn duplicates_are_bounded() {
    let many: Vec<String> = (0..300).map(|n| format!("\"k{n}\":0,\"k{n}\":0")).collect();
    let parsed = parse(format!("{{{}}}", many.join(",")).as_bytes()).expect("an object");
    assert_eq!(parsed.duplicates.len(), 100);
    let long = "x".repeat(1 << 20);
    let repeated = vec!["\"k\":0"; 100_000].join(",");
    let parsed = parse(format!("{{\"{long}\":{{{repeated}}}}}").as_bytes()).expect("an object");
    assert_eq!(parsed.duplicates, [format!("{long}.k")]);
}

#[test]
fn error_messages_equal_go() {
    for (input, want) in [
        ("", "unexpected end of JSON input"),
        ("  ", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("{\"a\"", "unexpected end of JSON input"),
        ("{\"a\":1", "unexpected end of JSON input"),
        ("[1,", "unexpected end of JSON input"),
        ("\"abc", "unexpected end of JSON input"),
        (
            "xyz",
            "invalid character 'x' looking for beginning of value",
        ),
        (
            "[1,]",
            "invalid character ']' looking for beginning of value",
        ),
        (
            "{,",
            "invalid character ',' looking for beginning of object key string",
        ),
        (
            "{\"a\":1,}",
            "invalid character '}' looking for beginning of object key string",
        ),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        (
            "{\"a\":1 \"b\"}",
            "invalid character '\"' after object key:value pair",
        ),
        ("[1 2]", "invalid character '2' after array element"),
        ("1 2", "invalid character '2' after top-level value"),
        ("01", "invalid character '1' after top-level value"),
        ("-", "invalid character ' ' in numeric literal"),
        (
            "1.",
            "invalid character ' ' after decimal point in numeric literal",
        ),
        (
            "1ex",
            "invalid character 'x' in exponent of numeric literal",
        ),
        (
            "trux",
            "invalid character 'x' in literal true (expecting 'e')",
        ),
        (
            "nul",
            "invalid character ' ' in literal null (expecting 'l')",
        ),
        ("\"\\x\"", "invalid character 'x' in string escape code"),
        (
            "\"\\u12g4\"",
            "invalid character 'g' in \\u hexadecimal character escape",
        ),
        ("\"a\nb\"", "invalid character '\\n' in string literal"),
        ("\"a\0b\"", "invalid character '\\x00' in string literal"),
        (
            "'a'",
            "invalid character '\\'' looking for beginning of value",
        ),
        ("é", "invalid character 'Ã' looking for beginning of value"),
        (
            "[1e999]",
            "json: cannot unmarshal number 1e999 into Go value of type float64",
        ),
        (
            "[1e999,]",
            "invalid character ']' looking for beginning of value",
        ),
    ] {
        check_error(input.as_bytes(), want);
    }
}

/// Every operation of the standard library on a tree recurses.
#[test]
fn deepest_document_fits_half_a_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        on_stack(STACK_SIZE / 2, move || {
            let nest = |depth: usize| {
                let inner = if close == "}" { "0" } else { "" };
                format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
            };
            let value = parse(nest(MAX_DEPTH).as_bytes())
                .expect("at the limit")
                .value;
            assert_eq!(value.clone(), value);
            assert_eq!(to_vec(&value), nest(MAX_DEPTH).into_bytes());
            assert!(to_vec_pretty(&value).len() > MAX_DEPTH);
            assert!(crate::indent(&to_vec(&value)).len() > MAX_DEPTH);
            assert!(crate::yaml::to_string(&value).len() > MAX_DEPTH);
            assert_eq!(crate::Weight::of(&value).depth, MAX_DEPTH);
            assert_eq!(
                reparse(format!("[{}]", nest(MAX_DEPTH)).as_bytes()),
                Ok(Value::from(vec![value.clone()]))
            );
            drop(value);
            let shown = &open[..1];
            check_error(
                nest(MAX_DEPTH + 1).as_bytes(),
                &format!("invalid character '{shown}' exceeded max depth"),
            );
        });
    }
}

#[test]
fn unclosed_brackets_need_neither_stack_nor_time() {
    for open in ["[", "{\"\":", "[{\"\":"] {
        on_stack(1 << 17, move || {
            let error = parse(open.repeat(600_000).as_bytes()).expect_err("too deep");
            assert!(error.to_string().ends_with("exceeded max depth"), "{error}");
            let levels = MAX_DEPTH / 2;
            let error = parse(open.repeat(levels).as_bytes()).expect_err("no end");
            assert_eq!(error.to_string(), "unexpected end of JSON input");
        });
    }
}

#[test]
fn search_for_deep_repeated_keys_is_bounded() {
    on_stack(STACK_SIZE, || {
        let levels = MAX_DEPTH - 1;
        let inner = "\"\":0,".repeat(500_000);
        let (open, close) = ("{\"\":".repeat(levels), "}".repeat(levels));
        let text = format!("{open}{{{inner}\"\":0}}{close}");
        let begun = std::time::Instant::now();
        assert_eq!(parse(text.as_bytes()).expect("an object").duplicates, [""]);
        // A quadratic parser would need five thousand million steps, which take minutes.
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    });
}

#[test]
fn number_parsing_is_linear_in_digits() {
    let digits = "9".repeat(3 << 20);
    for text in [digits.clone(), format!("1e{digits}"), format!("0.{digits}")] {
        let parsed = parse(text.as_bytes());
        assert_eq!(parsed.is_ok(), text.starts_with('0'), "{}", &text[..3]);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("a float with a fraction stays a float", |x| x.is_finite()
                && x.fract() != 0.0)
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("\0\u{2028}\u{fffd}")),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn written_value_parses_to_itself(value in any_value()) {
        prop_assert_eq!(&parse(&to_vec(&value)).expect("own output").value, &value);
        prop_assert_eq!(&parse(&to_vec_pretty(&value)).expect("own output").value, &value);
    }

    #[test]
    fn accepts_the_same_documents_as_serde(input in r#"[\[\]{}",:0-9eE.+\- tfnul\\]{0,24}"#) {
        let theirs = serde_json::from_str::<Value>(&input);
        let ours = parse(input.as_bytes());
        // serde_json rejects lone surrogates, which Go replaces.
        if theirs.is_ok() || !input.contains("\\u") {
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
        }
    }

    #[test]
    fn hostile_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&input);
    }
}

#[test]
fn error_names_an_invalid_byte_by_number() {
    let error = parse(b"\x81\xa9").unwrap_err().to_string();
    let expected = "invalid character '\\u0081' looking for beginning of value";
    assert_eq!(error, expected);
}
