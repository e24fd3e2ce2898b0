//! The closing call, behind which the target serves.
//!
//! Only one of both stores may serve, so the fence is lifted only if the target cannot take over any
//! more. Who can tell? Not silence: a request without an answer may still be carried out. Nor
//! trouble (`NOT_READY`, `OVERLOADED`, `INTERNAL`…), which is not about the request; a driver may
//! even be in trouble after it has done what was asked. Nor the answer to a later call: it speaks
//! of that call, while an earlier one may still wait for its commit, for instance until a standby
//! database returns. Nor `Describe`, which does not see commits that are under way, so that "the
//! import is unfinished" is no news.
//!
//! Hence:
//!
//! - *It did not take over* is believed if the first closing call that any run made is refused, and
//!   the refusal is about the request: it, or what it asks for, was judged and nothing was stored.
//! - *It took over* is believed whenever the target says so, in an answer or in `Describe`.
//! - Everything else is tried again until the deadline, and then the fence stays. The only way from
//!   there is that the target takes over after all, or that a person removes it.

use std::time::Duration;

use anyhow::anyhow;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::import_request::{Done, Part};
use backend_proto::v1::{BackendError, DescribeResponse, Header, ImportRequest};
use tokio::time::{sleep, timeout};

use super::PAUSE;
use super::filling::options;
use super::stop::Stop;
use crate::copy::Pair;
use crate::store::{Refusal, begin};

/// How long an answer is waited for before another attempt is made.
const ANSWER: Duration = Duration::from_secs(10);

/// How the target stands after the closing call.
#[derive(Debug)]
pub(super) enum Closed {
    /// It has taken over.
    Surely,
    /// It has not, and will not.
    No(Refusal),
    /// It may have, or may yet.
    Unknown(anyhow::Error),
}

/// What is to be closed.
pub(super) struct Closing<'a> {
    pub(super) pair: &'a Pair,
    pub(super) source: Header,
    /// Revision of the fence.
    pub(super) cut: i64,
    /// An earlier run may have made the call.
    pub(super) again: bool,
}

impl Closing<'_> {
    /// Makes the call, for as long as `within` if need be.
    pub(super) async fn run(&self, within: Duration, stop: &mut Stop) -> Closed {
        let mut last = None;
        let unknown = tokio::select! {
            closed = timeout(within, self.attempts(&mut last)) => match closed {
                Ok(closed) => return closed,
                Err(_) => None,
            },
            interrupted = stop.asked() => Some(interrupted),
        };
        let address = &self.pair.target.address;
        let silence = || anyhow!("{address}: the closing call is not answered");
        Closed::Unknown(unknown.or(last).unwrap_or_else(silence))
    }

    /// Ends when something can be believed; `last` is what was told meanwhile.
    async fn attempts(&self, last: &mut Option<anyhow::Error>) -> Closed {
        let target = &self.pair.target;
        let mut first = !self.again;
        loop {
            let done = ImportRequest {
                part: Some(Part::Done(Done::default())),
            };
            let requests = [begin(options(&self.source, false)), done];
            let import = target.import(tokio_stream::iter(requests));
            let refusal = match timeout(ANSWER, import).await {
                Ok(Ok(_)) => return Closed::Surely,
                Ok(Err(refusal)) => Some(refusal),
                Err(_) => None,
            };
            let described = timeout(ANSWER, target.describe()).await;
            let described = described.ok().and_then(Result::ok);
            if described.as_ref().is_some_and(|it| self.has_taken_over(it)) {
                return Closed::Surely;
            }
            if let Some(refusal) = refusal {
                if first && described.is_some() && refusal.error.as_ref().is_some_and(is_verdict) {
                    return Closed::No(refusal);
                }
                // As a text: nobody is to take it for a refusal of the copy.
                *last = Some(anyhow!("{refusal}"));
            }
            first = false;
            sleep(PAUSE).await;
        }
    }

    /// Judges by the revision alone: the target may have begun another epoch since, and clients may
    /// have written to it.
    fn has_taken_over(&self, target: &DescribeResponse) -> bool {
        let header = target.header.clone().unwrap_or_default();
        target.import.is_none()
            && header.store_id == self.source.store_id
            && header.revision >= self.cut
    }
}

/// Whether a refusal is about the request, and says that nothing came of it.
fn is_verdict(error: &BackendError) -> bool {
    let about_the_request = matches!(
        error.reason(),
        Reason::Invalid | Reason::TooLarge | Reason::Unimplemented | Reason::NoSpace
    );
    about_the_request && error.outcome() == Outcome::NotApplied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn silence_is_no_answer_for_ever() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let socket = folder.path().join("s");
        // Connections are made, and nobody reads them.
        let _silent = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        let address = format!("unix://{}", socket.display());
        let open = || Store::open("--to", &address, [&None, &None, &None]).expect("an address");
        let pair = Pair {
            source: open(),
            target: open(),
            from: DescribeResponse::default(),
            to: DescribeResponse::default(),
        };
        let closing = Closing {
            pair: &pair,
            source: Header::default(),
            cut: 1,
            again: false,
        };
        let mut stop = Stop::listen().expect("signals");
        let closed = closing.run(Duration::from_millis(50), &mut stop).await;
        assert!(matches!(closed, Closed::Unknown(_)), "{closed:?}");
    }

    #[test]
    fn only_refusals_that_are_about_the_request_are_verdicts() {
        let verdicts = |outcome: Outcome| {
            (0..20)
                .filter_map(|reason| Reason::try_from(reason).ok())
                .filter(|reason| {
                    is_verdict(&BackendError {
                        reason: (*reason).into(),
                        outcome: outcome.into(),
                        ..BackendError::default()
                    })
                })
                .collect::<Vec<_>>()
        };
        let believed = [
            Reason::NoSpace,
            Reason::TooLarge,
            Reason::Unimplemented,
            Reason::Invalid,
        ];
        assert_eq!(verdicts(Outcome::NotApplied), believed);
        assert_eq!(verdicts(Outcome::Unknown), []);
        assert_eq!(verdicts(Outcome::Unspecified), []);
    }
}
