//! Decisions by content and time.

mod interleaving;

use std::time::Duration;

use time::OffsetDateTime;

use super::SelfManaged;
use super::content::Content;
use super::decide::{Change, Facts, LONGEST_PAUSE, decide};
use super::issue::changed;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn start() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn names() -> Vec<String> {
    let managed = SelfManaged {
        secret: "ark-system/tls".parse().unwrap(),
        service: "ark-system/ark".parse().unwrap(),
        api_services: Vec::new(),
    };
    managed.host_names()
}

/// The content after the changes that are due `age` after the start.
fn after(stored: &Content, age: Duration, published: bool) -> Content {
    let names = names();
    let facts = Facts {
        stored,
        remembered: None,
        published,
        names: &names,
        now: start() + age,
    };
    changed(facts).unwrap().0
}

struct Case<'a> {
    stored: &'a Content,
    remembered: Option<&'a Content>,
    published: bool,
    age: Duration,
}

/// Checks the steps of the change, and whether the stored certificate is served meanwhile.
#[track_caller]
fn check(case: &Case<'_>, serve: bool, steps: &[&str]) -> Content {
    let names = names();
    let facts = Facts {
        stored: case.stored,
        remembered: case.remembered,
        published: case.published,
        names: &names,
        now: start() + case.age,
    };
    let plan = decide(facts);
    assert_eq!(plan.serve, serve);
    assert_eq!(plan.publish.is_some(), serve);
    let (content, changes) = changed(facts).unwrap();
    let made: Vec<String> = changes
        .iter()
        .map(|change| format!("{change:?}").split('(').next().unwrap().to_owned())
        .collect();
    assert_eq!(made, steps);
    assert_eq!(content == *case.stored, steps.is_empty());
    let settled = decide(Facts {
        stored: &content,
        published: false,
        ..facts
    });
    assert!(settled.serve && settled.change.is_none(), "{settled:?}");
    content
}

#[test]
fn certificates_are_made_and_renewed_in_time() {
    let empty = Content::default();
    let stored = |stored, age| Case {
        stored,
        remembered: None,
        published: true,
        age,
    };
    let fresh = check(
        &stored(&empty, Duration::ZERO),
        false,
        &["NewAuthority", "NewServing"],
    );
    check(&stored(&fresh, 59 * DAY), true, &[]);
    let renewed = check(&stored(&fresh, 61 * DAY), true, &["NewServing"]);
    assert_eq!(renewed.authorities, fresh.authorities);
    // Expired: the gateways were stopped for months.
    check(&stored(&fresh, 91 * DAY), false, &["NewServing"]);
    check(
        &stored(&fresh, 731 * DAY),
        false,
        &["NewAuthority", "NewServing"],
    );
}

#[test]
fn authority_is_rotated_with_overlap() {
    let aged = after(
        &after(&Content::default(), Duration::ZERO, true),
        540 * DAY,
        true,
    );
    let case = |stored, published, age| Case {
        stored,
        remembered: None,
        published,
        age,
    };
    check(&case(&aged, true, 549 * DAY), true, &[]);
    let began = 551 * DAY;
    let both = check(&case(&aged, true, began), true, &["NewAuthority"]);
    assert_eq!(both.certificate, aged.certificate);
    assert!(both.authorities.ends_with(&aged.authorities));
    check(&case(&both, true, began + 59 * MINUTE), true, &[]);
    check(&case(&both, false, began + 30 * DAY), true, &[]);
    // The certificate expires on day 630.
    check(
        &case(&both, false, 629 * DAY + 6 * HOUR),
        true,
        &["NewServing"],
    );
    let signed = check(
        &case(&both, true, began + 61 * MINUTE),
        true,
        &["NewServing"],
    );
    assert_eq!(signed.authorities, both.authorities);
    check(&case(&signed, true, began + DAY), true, &[]);
    let done = check(
        &case(&signed, true, began + DAY + 62 * MINUTE),
        true,
        &["DropAuthorities"],
    );
    assert_eq!(done.authorities.matches("BEGIN").count(), 1);
    assert!(!done.authorities.contains(&aged.authorities));
}

#[test]
fn lost_content_is_written_again() {
    let fresh = after(&Content::default(), Duration::ZERO, true);
    let empty = Content::default();
    let without = |lose: fn(&mut Content)| {
        let mut content = fresh.clone();
        lose(&mut content);
        content
    };
    let check = |stored: &Content, remembered, serve, steps: &[&str]| {
        let case = Case {
            stored,
            remembered,
            published: true,
            age: HOUR,
        };
        check(&case, serve, steps)
    };
    let known = Some(&fresh);
    assert_eq!(check(&empty, known, false, &["Restore"]), fresh);
    for lose in [
        (|it| it.authorities.clear()) as fn(&mut Content),
        |it| it.authorities = "garbage".to_owned(),
        |it| it.authorities = it.authorities.replacen("MII", "MIJ", 1),
    ] {
        let damaged = without(lose);
        assert!(damaged.is_damaged());
        assert_eq!(check(&damaged, known, false, &["Restore"]), fresh);
        check(&damaged, None, false, &["NewAuthority", "NewServing"]);
    }
    for lose in [(|it| it.key.clear()) as fn(&mut Content), |it| {
        it.certificate = it.authorities.clone()
    }] {
        let damaged = without(lose);
        assert_eq!(check(&damaged, known, false, &["Restore"]), fresh);
        let renewed = check(&damaged, None, false, &["NewServing"]);
        assert_eq!(renewed.authorities, fresh.authorities);
    }
    // Without its key, the authority is replaced with overlap.
    let keyless = without(|it| it.authority_key.clear());
    let rotated = check(&keyless, known, true, &["NewAuthority"]);
    assert_eq!(rotated.certificate, fresh.certificate);
    assert!(rotated.authorities.ends_with(&fresh.authorities));
    let noted = without(|it| it.authorities.push_str("# a note\n"));
    assert_eq!(check(&noted, None, true, &["Clean"]), fresh);
}

#[test]
fn certificate_gets_names_of_another_service() {
    let fresh = after(&Content::default(), Duration::ZERO, true);
    let other = vec!["new.ark-system.svc".to_owned()];
    let facts = Facts {
        stored: &fresh,
        remembered: None,
        published: true,
        names: &other,
        now: start(),
    };
    let (both, changes) = changed(facts).unwrap();
    let mut all = other.clone();
    all.extend(names());
    assert_eq!(changes, [Change::NewServing(all)]);
    // Neither the replicas with the old Service nor those with the new one replace it.
    for names in [&other, &names()] {
        let plan = decide(Facts {
            stored: &both,
            names,
            ..facts
        });
        assert!(plan.serve && plan.change.is_none(), "{plan:?}");
    }
}

#[test]
fn next_look_is_at_the_next_moment() {
    let aged = after(
        &after(&Content::default(), Duration::ZERO, true),
        540 * DAY,
        true,
    );
    let began = 551 * DAY;
    let both = after(&aged, began, true);
    let look_again = |age| {
        let names = names();
        let facts = Facts {
            stored: &both,
            remembered: None,
            published: true,
            names: &names,
            now: start() + age,
        };
        decide(facts).look_again
    };
    assert_eq!(look_again(began + MINUTE), LONGEST_PAUSE);
    assert_eq!(look_again(began + 59 * MINUTE), MINUTE);
}
