//! Ranges and multiples.

use api_types::field::Value as Shown;
use api_types::go_text;
use serde_json::Number;

use super::outcome::{Fault, Location, Outcome};
use crate::structural::{Kind, Structural};

pub(super) fn check(
    number: &Number,
    schema: &Structural,
    location: Location<'_>,
    outcome: &mut Outcome,
) {
    let rules = &schema.rules;
    let integer_type = schema.kind == Some(Kind::Integer) && !schema.extensions.int_or_string;
    let range = Range {
        integer: integer_type,
        format: if schema.extensions.int_or_string {
            ""
        } else {
            super::effective_format(schema)
        },
    };
    let float = number.as_f64().unwrap_or_default();
    range.check(number.as_i64(), float, "Checked", location, outcome);
    // In an integer schema, only integral bounds are compared as integers.
    let integer = |bound: f64, what: &str, outcome: &mut Outcome| {
        let whole = (bound.fract() == 0.0).then_some(bound as i64);
        let fits = range.check(whole, bound, what, location, outcome);
        number.as_i64().filter(|_| fits)
    };
    if let Some(factor) = rules.multiple_of {
        let value = integer(factor, "MultipleOf", outcome);
        multiple(number, value, factor, location, outcome);
    }
    if let Some(least) = rules.minimum {
        let value = integer(least, "Minimum boundary", outcome);
        let (excluded, below) = (rules.exclusive_minimum, true);
        bound(
            number,
            value,
            least,
            Bound { excluded, below },
            location,
            outcome,
        );
    }
    if let Some(most) = rules.maximum {
        let value = integer(most, "Maximum boundary", outcome);
        let (excluded, below) = (rules.exclusive_maximum, false);
        bound(
            number,
            value,
            most,
            Bound { excluded, below },
            location,
            outcome,
        );
    }
    outcome.matches += 2;
}

/// The range of numbers that the type and the format of a schema permit.
struct Range<'a> {
    integer: bool,
    format: &'a str,
}

impl Range<'_> {
    fn check(
        &self,
        integer: Option<i64>,
        float: f64,
        what: &str,
        location: Location<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        const TWO_63: f64 = (1u64 << 63) as f64;
        let whole = integer.or_else(|| {
            let in_range = (-TWO_63..TWO_63).contains(&float);
            (float.fract() == 0.0 && in_range).then_some(float as i64)
        });
        let fits = match (self.integer, self.format) {
            (true, "int32") => whole.is_some_and(|value| i32::try_from(value).is_ok()),
            (true, _) => whole.is_some(),
            (false, "float") => float.abs() <= f64::from(f32::MAX),
            (false, _) => true,
        };
        if !fits {
            let kind = if self.integer { "integer" } else { "number" };
            let form = match self.format {
                "" => String::from("(default format)"),
                format => format!("with format {format}"),
            };
            outcome.add(|| {
                let text = format!("{what} value must be of type {kind} {form} in {location}");
                Fault::plain(text)
            });
        }
        fits
    }
}

/// A bound, and whether it itself is excluded.
#[derive(Clone, Copy)]
struct Bound {
    excluded: bool,
    below: bool,
}

fn bound(
    number: &Number,
    integer: Option<i64>,
    bound: f64,
    kind: Bound,
    location: Location<'_>,
    outcome: &mut Outcome,
) {
    let order = match integer {
        Some(value) => value.cmp(&(bound as i64)),
        None => {
            let value = number.as_f64().unwrap_or_default();
            value
                .partial_cmp(&bound)
                .unwrap_or(std::cmp::Ordering::Equal)
        }
    };
    let outside = if kind.below {
        order.is_lt()
    } else {
        order.is_gt()
    };
    let fits = !outside && (!kind.excluded || order.is_ne());
    if fits {
        return;
    }
    let words = match (kind.below, kind.excluded) {
        (true, true) => "greater than",
        (true, false) => "greater than or equal to",
        (false, true) => "less than",
        (false, false) => "less than or equal to",
    };
    let bound = match integer {
        Some(_) => (bound as i64).to_string(),
        None => go_text::float(bound),
    };
    let detail = format!("should be {words} {bound}");
    outcome.add(|| Fault::invalid(location, shown(number), &detail));
}

fn multiple(
    number: &Number,
    integer: Option<i64>,
    factor: f64,
    location: Location<'_>,
    outcome: &mut Outcome,
) {
    let positive = match integer {
        Some(_) => factor as i64 > 0,
        None => factor > 0.0,
    };
    let factor_text = match integer {
        Some(_) => (factor as i64).to_string(),
        None => go_text::float(factor),
    };
    if !positive {
        outcome.add(|| Fault::bad_factor(location, factor_text));
        return;
    }
    let fits = match integer {
        Some(value) => value % (factor as i64) == 0,
        None => {
            let value = number.as_f64().unwrap_or_default();
            is_integer(if factor < 1.0 {
                1.0 / factor * value
            } else {
                value / factor
            })
        }
    };
    if !fits {
        let detail = format!("should be a multiple of {factor_text}");
        outcome.add(|| Fault::invalid(location, shown(number), &detail));
    }
}

/// Whether a number is integral, with go-openapi's tolerance (`conv.IsFloat64AJSONInteger`): the
/// nearest integer is compared, so that `0.29 / 0.01`, which is below 29, counts as 29.
pub(super) fn is_integer(number: f64) -> bool {
    const MAX_SAFE: f64 = 9_007_199_254_740_991.0;
    const EPSILON: f64 = 1e-9;
    if number.is_nan() || number.abs() > MAX_SAFE {
        return false;
    }
    let nearest = number.round();
    number == nearest || (number - nearest).abs() < EPSILON * nearest.abs()
}

fn shown(number: &Number) -> Shown {
    match number.as_i64() {
        Some(integer) => Shown::from(integer),
        None => Shown::from(number.as_f64().unwrap_or_default()),
    }
}
