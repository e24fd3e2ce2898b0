//! Tests that rules and cases correspond.

use std::collections::HashSet;

use super::{all, find};
use crate::{cases, crash};

#[test]
fn every_case_has_a_rule_and_every_rule_a_case() {
    let cases = cases::all().into_iter().chain(cases::of_process());
    let named = cases.map(|case| (case.id, case.sentence));
    let named: Vec<_> = named.chain(crash::rules()).collect();
    let number = |id: &'static str| id.split('-').next().expect("a number");
    let numbers: HashSet<&str> = named.iter().map(|(id, _)| number(id)).collect();
    for number in &numbers {
        assert!(find(number).is_some(), "{number} is not explained");
    }
    for rule in all() {
        let cited = |(_, sentence): &(&str, &str)| sentence.contains(rule.number);
        let tested = numbers.contains(rule.number) || named.iter().any(cited);
        assert!(tested || rule.number == "C7", "{} has no case", rule.number);
        assert!(
            rule.text.ends_with('.') && rule.cause.ends_with('.'),
            "{rule:?}"
        );
    }
    assert_eq!(find("r5").map(|rule| rule.number), Some("R5"));
}
