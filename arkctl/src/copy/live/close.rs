//! The closing call, after which the target serves.
//!
//! Only one of the two stores may serve, so the fence may be lifted only if it is certain that the
//! target cannot take over any more. These are no proof of that:
//!
//! - no response: the request may still be executed;
//! - an error that is not about the request (`NOT_READY`, `OVERLOADED`, `INTERNAL`…): a driver may
//!   fail after it has executed the request;
//! - the response to a later call: an earlier call may still wait for its commit, for instance
//!   until a standby returns;
//! - `Describe` with an unfinished import: it does not see commits in progress.
//!
//! Therefore:
//!
//! - The target *did not take over* if the first closing call of any run is rejected for a reason
//!   about the request itself: the request was validated and nothing was stored.
//! - The target *took over* as soon as it reports so, in a response or in `Describe`.
//! - Everything else is retried until the deadline, and then the fence stays. It ends only when the
//!   target takes over after all, or when an operator lifts it.

use std::time::Duration;

use anyhow::anyhow;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::import_request::{Done, Part};
use backend_proto::v1::{BackendError, DescribeResponse, Header, ImportRequest};
use tokio::time::{sleep, timeout};

use super::PAUSE;
use super::filling::options;
use crate::copy::Pair;
use crate::stop::Stop;
use crate::store::{Rejection, begin};

/// Timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Outcome of the closing call.
#[derive(Debug)]
pub(super) enum Closed {
    /// The target has taken over.
    Surely,
    /// The target has not taken over, and will not.
    No(Rejection),
    /// The target may have taken over, or may yet do so.
    Unknown(anyhow::Error),
}

/// The closing call of one copy.
pub(super) struct Closing<'a> {
    pub(super) pair: &'a Pair,
    pub(super) source: Header,
    /// Revision of the fence.
    pub(super) fence_revision: i64,
    /// Whether an earlier run may have made the call.
    pub(super) again: bool,
}

impl Closing<'_> {
    /// Makes the call, with retries for at most `within`.
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
        let silence = || anyhow!("{address}: no response to the closing call");
        Closed::Unknown(unknown.or(last).unwrap_or_else(silence))
    }

    /// Returns once the outcome is certain; sets `last` to the latest error meanwhile.
    async fn attempts(&self, last: &mut Option<anyhow::Error>) -> Closed {
        let target = &self.pair.target;
        let mut first = !self.again;
        loop {
            let done = ImportRequest {
                part: Some(Part::Done(Done::default())),
            };
            let requests = [begin(options(&self.source, false)), done];
            let import = target.import(tokio_stream::iter(requests));
            let rejection = match timeout(ATTEMPT_TIMEOUT, import).await {
                Ok(Ok(_)) => return Closed::Surely,
                Ok(Err(rejection)) => Some(rejection),
                Err(_) => None,
            };
            let described = timeout(ATTEMPT_TIMEOUT, target.describe()).await;
            let described = described.ok().and_then(Result::ok);
            if described.as_ref().is_some_and(|it| self.has_taken_over(it)) {
                return Closed::Surely;
            }
            if let Some(rejection) = rejection {
                if first && described.is_some() && rejection.error.as_ref().is_some_and(is_verdict)
                {
                    return Closed::No(rejection);
                }
                // Converted to a string, so that it is not taken for a rejection of the copy.
                *last = Some(anyhow!("{rejection}"));
            }
            first = false;
            sleep(PAUSE).await;
        }
    }

    /// Decides by the revision alone: the target may have begun another epoch since, and have new
    /// writes.
    fn has_taken_over(&self, target: &DescribeResponse) -> bool {
        let header = target.header.clone().unwrap_or_default();
        target.import_progress.is_none()
            && header.store_id == self.source.store_id
            && header.revision >= self.fence_revision
    }
}

/// Whether an error is about the request and says that nothing was stored.
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
    use crate::deadlines::Deadlines;
    use crate::store::Store;

    #[tokio::test]
    async fn closing_call_without_response_times_out() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let socket = folder.path().join("s");
        // The socket accepts connections, but nothing reads them.
        let _silent = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        let address = format!("unix://{}", socket.display());
        let open = || {
            let deadlines = Deadlines {
                response: Duration::from_secs(120),
            };
            Store::open("--to", &address, [&None, &None, &None], deadlines).expect("an address")
        };
        let pair = Pair {
            source: open(),
            target: open(),
            from: DescribeResponse::default(),
            to: DescribeResponse::default(),
        };
        let closing = Closing {
            pair: &pair,
            source: Header::default(),
            fence_revision: 1,
            again: false,
        };
        let mut stop = Stop::listen().expect("signals");
        let closed = closing.run(Duration::from_millis(50), &mut stop).await;
        assert!(matches!(closed, Closed::Unknown(_)), "{closed:?}");
    }

    #[test]
    fn only_errors_about_the_request_are_definite() {
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
