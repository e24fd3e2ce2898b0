//! The contract as named cases, one per rule.
//!
//! An id begins with the number of its rule: R revisions, W writes, B values, L reads and lists, V
//! watches, H history, E export and import, F fences, D description and connections of the driver, S
//! restarts, flushes and space of its process.

mod copy;
mod describe;
mod fence;
mod history;
mod imports;
mod moves;
mod pages;
mod process;
mod races;
mod reads;
mod revisions;
mod sizes;
mod slow;
mod staged;
mod starts;
mod values;
mod verdicts;
mod watches;
mod writes;

use backend_proto::v1::describe_response::Capability;
use futures_util::future::BoxFuture;

use crate::check::Check;
use crate::context::CaseContext;

/// A rule of the contract with the function that tests it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Number of the rule and a slug; unique.
    pub id: &'static str,
    /// The rule, in one sentence.
    pub sentence: &'static str,
    /// Capabilities that the driver must have for the rule to apply.
    pub needs: &'static [Capability],
    pub(crate) run: fn(CaseContext) -> BoxFuture<'static, Check>,
}

/// Builds a row of a table of cases.
macro_rules! case {
    ($id:literal, $run:path, $sentence:literal $(, $needs:ident)*) => {
        $crate::cases::Case {
            id: $id,
            sentence: $sentence,
            needs: &[$(backend_proto::v1::describe_response::Capability::$needs),*],
            run: |context| Box::pin($run(context)),
        }
    };
}
use case;

/// Returns every case that a served driver suffices for, in reading order.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        describe::CASES,
        revisions::CASES,
        writes::CASES,
        verdicts::CASES,
        sizes::CASES,
        races::CASES,
        values::CASES,
        reads::CASES,
        pages::CASES,
        starts::CASES,
        watches::CASES,
        slow::CASES,
        history::CASES,
        moves::CASES,
        imports::CASES,
        staged::CASES,
        fence::CASES,
    ]
    .concat()
}

/// Returns the cases that need a driver whose process the suite starts and kills; see
/// [`Setup::restarts`](crate::Setup::restarts).
#[must_use]
pub fn of_process() -> Vec<Case> {
    process::CASES.to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn case_ids_are_unique_and_well_formed() {
        let mut ids = HashSet::new();
        for case in super::all().into_iter().chain(super::of_process()) {
            assert!(ids.insert(case.id), "{} occurs twice", case.id);
            let (number, slug) = case.id.split_once('-').expect("number and slug");
            assert!(number.starts_with(|c: char| c.is_ascii_uppercase()));
            assert!(number[1..].parse::<u32>().is_ok(), "{}", case.id);
            assert!(!slug.is_empty() && case.sentence.ends_with('.'));
        }
    }
}
