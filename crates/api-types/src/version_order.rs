//! The order of API versions: `v2` before `v1` before `v2beta1` before `v1alpha1` before the rest.

use std::cmp::Ordering;

/// Compares two versions; the preferred one is less, so that sorting puts it first.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Stability, major and minor number; greater is preferred.
fn parse(version: &str) -> Option<(Stability, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let (major, rest) = number(rest)?;
    for (word, stability) in [("alpha", Stability::Alpha), ("beta", Stability::Beta)] {
        match rest.strip_prefix(word) {
            Some("") => return Some((stability, major, 0)),
            Some(minor) => {
                let (minor, rest) = number(minor)?;
                return rest.is_empty().then_some((stability, major, minor));
            }
            None => {}
        }
    }
    rest.is_empty().then_some((Stability::Stable, major, 0))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Stability {
    Alpha,
    Beta,
    Stable,
}

/// The leading number and the rest.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn versions_sort_as_kubernetes_prefers_them() {
        let sorted = [
            "v11",
            "v2",
            "v1",
            "v3beta1",
            "v2beta12",
            "v2beta2",
            "v2beta",
            "v1beta2",
            "v12alpha1",
            "v11alpha2",
            "foo1",
            "foo10",
            "v",
            "v1beta1x",
            "v1gamma",
        ];
        let mut versions = sorted;
        versions.reverse();
        versions.sort_by(|a, b| compare(a, b));
        assert_eq!(versions, sorted);
    }
}
