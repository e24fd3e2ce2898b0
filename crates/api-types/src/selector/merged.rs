//! Requirements merged by key, so that the cost of matching depends on the object and not on the
//! number of requirements.
//!
//! A client may send thousands of requirements, which are compared with every object of a list and
//! every change of a watch. Merging intersects sets and finds contradictions once. Each key is then
//! compared once, and an object with fewer labels than the selector has keys is matched label by
//! label. The cost per object is the smaller of the two numbers, times a binary search.

use super::label::{Operator, Requirement};
use super::{FieldRequirement, Lookup};

/// The compiled form of a [`LabelSelector`](super::LabelSelector).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    /// One per key, sorted by key.
    rules: Vec<Rule>,
    /// Number of rules that fail for a missing label.
    demanded: usize,
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
    demanded: bool,
    /// It must be missing.
    banned: bool,
    /// It must be one of these; sorted.
    among: Option<Vec<String>>,
    /// It must be none of these; sorted.
    without: Vec<String>,
    /// It must be an integer greater than the first and less than the second.
    between: Option<(Option<i64>, Option<i64>)>,
}

impl Labels {
    /// Merges requirements that are sorted by key.
    pub(super) fn of(requirements: &[Requirement]) -> Self {
        let by_key = requirements.chunk_by(|a, b| a.key() == b.key());
        let rules: Vec<Rule> = by_key.map(Rule::of_label).collect();
        Self {
            demanded: rules.iter().filter(|rule| rule.demanded).count(),
            nothing: rules.iter().any(Rule::contradicts_itself),
            rules,
        }
    }

    pub(super) fn matches(&self, labels: &(impl Lookup + ?Sized)) -> bool {
        let count = labels.count();
        if self.nothing || count < self.demanded {
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
            met += usize::from(rule.demanded);
            rule.allows(Some(value))
        });
        allowed && met == self.demanded
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
                    rule.demanded = true;
                    rule.intersect(one.values().iter());
                }
                Operator::NotIn | Operator::NotEquals => {
                    rule.without.extend_from_slice(one.values());
                }
                Operator::Exists => rule.demanded = true,
                Operator::DoesNotExist => rule.banned = true,
                Operator::GreaterThan | Operator::LessThan => rule.bound(one),
            }
        }
        rule.settled()
    }

    fn of_field(same: &[&FieldRequirement]) -> Self {
        let mut rule = Self::default();
        for one in same {
            if one.equal {
                rule.intersect(std::iter::once(&one.value));
            } else {
                rule.without.push(one.value.clone());
            }
        }
        rule.settled()
    }

    /// Takes time proportional to the new set, not to the earlier ones.
    fn intersect<'a>(&mut self, values: impl Iterator<Item = &'a String>) {
        let known = self.among.take();
        let both = values.filter(|value| {
            let known = known.as_ref();
            known.is_none_or(|known| known.binary_search(value).is_ok())
        });
        self.among = Some(both.cloned().collect());
    }

    fn bound(&mut self, requirement: &Requirement) {
        self.demanded = true;
        // The parser has checked that the value is an integer.
        let value = requirement.values().first().and_then(|it| it.parse().ok());
        let (above, below) = self.between.unwrap_or_default();
        self.between = Some(match requirement.operator() {
            Operator::GreaterThan => (above.max(value), below),
            _ => (above, below.into_iter().chain(value).min()),
        });
    }

    /// Removes redundant values.
    fn settled(mut self) -> Self {
        self.without.sort_unstable();
        self.without.dedup();
        if let Some(among) = self.among.take() {
            let fit = among.into_iter().filter(|value| self.allows(Some(value)));
            self.among = Some(fit.collect());
            self.without = Vec::new();
            self.between = None;
        }
        self
    }

    fn contradicts_itself(&self) -> bool {
        self.demanded && self.banned || self.among.as_ref().is_some_and(Vec::is_empty)
    }

    fn allows(&self, value: Option<&str>) -> bool {
        let Some(value) = value else {
            return !self.demanded;
        };
        let has = |values: &[String]| values.binary_search_by(|it| (**it).cmp(value)).is_ok();
        !self.banned
            && self.among.as_ref().is_none_or(|among| has(among))
            && !has(&self.without)
            && self.between.is_none_or(|between| within(value, between))
    }
}

fn within(value: &str, (above, below): (Option<i64>, Option<i64>)) -> bool {
    value.parse::<i64>().is_ok_and(|number| {
        above.is_none_or(|above| number > above) && below.is_none_or(|below| number < below)
    })
}
