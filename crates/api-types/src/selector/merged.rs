//! Requirements merged by key, so that the cost of matching depends on the object and not on the
//! number of requirements.
//!
//! A client may send thousands of requirements, which are compared with every object of a list and
//! every change of a watch. Merging intersects sets and finds contradictions once. Each key is then
//! compared once, and an object with fewer labels than the selector has keys is matched label by
//! label. The cost per object is the smaller of the two numbers, times a binary search.

use super::Lookup;
use super::requirement::{FieldRequirement, Operator, Requirement};

/// The compiled form of a [`LabelSelector`](super::LabelSelector).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    /// One per key, sorted by key.
    rules: Vec<Rule>,
    /// Number of rules that fail for a missing label.
    must_exist: usize,
    /// Whether no object can match.
    nothing: bool,
}

/// The compiled form of a [`FieldSelector`](super::FieldSelector).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// One per field.
    rules: Vec<(String, Rule)>,
    nothing: bool,
}

/// All requirements of one label or field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    key: String,
    /// It must exist.
    must_exist: bool,
    /// It must be missing.
    must_be_absent: bool,
    /// It must be one of these; sorted.
    allowed_values: Option<Vec<String>>,
    /// It must be none of these; sorted.
    excluded_values: Vec<String>,
    /// It must be an integer greater than the first and less than the second.
    range: Option<(Option<i64>, Option<i64>)>,
}

impl Labels {
    /// Merges requirements that are sorted by key.
    pub(super) fn of(requirements: &[Requirement]) -> Self {
        let by_key = requirements.chunk_by(|a, b| a.key() == b.key());
        let rules: Vec<Rule> = by_key.map(Rule::of_label).collect();
        Self {
            must_exist: rules.iter().filter(|rule| rule.must_exist).count(),
            nothing: rules.iter().any(Rule::contradicts_itself),
            rules,
        }
    }

    pub(super) fn matches(&self, labels: &(impl Lookup + ?Sized)) -> bool {
        let count = labels.count();
        if self.nothing || count < self.must_exist {
            return false;
        }
        if self.rules.len() <= count {
            let mut rules = self.rules.iter();
            return rules.all(|rule| rule.allows(labels.lookup(&rule.key)));
        }
        let mut met = 0;
        let allowed = labels.each(&mut |key, value| {
            let Ok(at) = self.rules.binary_search_by(|rule| (*rule.key).cmp(key)) else {
                return true;
            };
            let rule = &self.rules[at];
            met += usize::from(rule.must_exist);
            rule.allows(Some(value))
        });
        allowed && met == self.must_exist
    }

    pub(super) const fn is_nothing(&self) -> bool {
        self.nothing
    }
}

impl Fields {
    pub(super) fn of(requirements: &[FieldRequirement]) -> Self {
        let mut sorted: Vec<&FieldRequirement> = requirements.iter().collect();
        sorted.sort_by(|a, b| a.field.cmp(&b.field));
        let by_field = sorted.chunk_by(|a, b| a.field == b.field);
        let rules: Vec<_> = by_field
            .map(|same| (same[0].field.clone(), Rule::of_field(same)))
            .collect();
        Self {
            nothing: rules.iter().any(|(_, rule)| rule.contradicts_itself()),
            rules,
        }
    }

    /// A missing field has the empty value.
    pub(super) fn matches(&self, fields: &(impl Lookup + ?Sized)) -> bool {
        let mut rules = self.rules.iter();
        !self.nothing
            && rules.all(|(field, rule)| {
                let value = fields.lookup(field).unwrap_or_default();
                rule.allows(Some(value))
            })
    }

    pub(super) const fn is_nothing(&self) -> bool {
        self.nothing
    }
}

impl Rule {
    fn of_label(same: &[Requirement]) -> Self {
        let mut rule = Self {
            key: same[0].key().to_owned(),
            ..Self::default()
        };
        for one in same {
            match one.operator() {
                Operator::In | Operator::Equals | Operator::DoubleEquals => {
                    rule.must_exist = true;
                    rule.intersect(one.values().iter());
                }
                Operator::NotIn | Operator::NotEquals => {
                    rule.excluded_values.extend_from_slice(one.values());
                }
                Operator::Exists => rule.must_exist = true,
                Operator::DoesNotExist => rule.must_be_absent = true,
                Operator::GreaterThan | Operator::LessThan => rule.bound(one),
            }
        }
        rule.simplified()
    }

    fn of_field(same: &[&FieldRequirement]) -> Self {
        let mut rule = Self::default();
        for one in same {
            if one.equal {
                rule.intersect(std::iter::once(&one.value));
            } else {
                rule.excluded_values.push(one.value.clone());
            }
        }
        rule.simplified()
    }

    /// Takes time proportional to the new set, not to the earlier ones.
    fn intersect<'a>(&mut self, values: impl Iterator<Item = &'a String>) {
        let known = self.allowed_values.take();
        let both = values.filter(|value| {
            let known = known.as_ref();
            known.is_none_or(|known| known.binary_search(value).is_ok())
        });
        self.allowed_values = Some(both.cloned().collect());
    }

    fn bound(&mut self, requirement: &Requirement) {
        self.must_exist = true;
        // The parser has checked that the value is an integer.
        let value = requirement.values().first().and_then(|it| it.parse().ok());
        let (above, below) = self.range.unwrap_or_default();
        self.range = Some(match requirement.operator() {
            Operator::GreaterThan => (above.max(value), below),
            _ => (above, below.into_iter().chain(value).min()),
        });
    }

    /// Removes redundant values.
    fn simplified(mut self) -> Self {
        self.excluded_values.sort_unstable();
        self.excluded_values.dedup();
        if let Some(allowed_values) = self.allowed_values.take() {
            let fit = allowed_values
                .into_iter()
                .filter(|value| self.allows(Some(value)));
            self.allowed_values = Some(fit.collect());
            self.excluded_values = Vec::new();
            self.range = None;
        }
        self
    }

    fn contradicts_itself(&self) -> bool {
        self.must_exist && self.must_be_absent
            || self.allowed_values.as_ref().is_some_and(Vec::is_empty)
    }

    fn allows(&self, value: Option<&str>) -> bool {
        let Some(value) = value else {
            return !self.must_exist;
        };
        let has = |values: &[String]| values.binary_search_by(|it| (**it).cmp(value)).is_ok();
        !self.must_be_absent
            && self
                .allowed_values
                .as_ref()
                .is_none_or(|allowed_values| has(allowed_values))
            && !has(&self.excluded_values)
            && self.range.is_none_or(|range| within(value, range))
    }
}

fn within(value: &str, (above, below): (Option<i64>, Option<i64>)) -> bool {
    value.parse::<i64>().is_ok_and(|number| {
        above.is_none_or(|above| number > above) && below.is_none_or(|below| number < below)
    })
}
