//! Connection attempts side by side: a dead host must not delay the others.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};

use super::CONNECT_TIMEOUT;
use crate::error::Error;

/// Delay between the starts of two attempts; shorter if there are many hosts.
pub(super) const HEAD_START: Duration = Duration::from_millis(300);

/// Time for further successes after the first one.
const COMPARE_TIMEOUT: Duration = Duration::from_millis(300);

/// A connection attempt to one host or address.
pub(super) struct Attempt<F> {
    pub(super) place: String,
    pub(super) connecting: F,
}

/// Which success ends the race.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The first.
    First,
    /// The last: all attempts are awaited, for a bounded time after the first success.
    All,
}

/// Returns the successes in the order of attempts: at least one. A failed attempt starts the next
/// at once, and so does a success if there may be others.
pub(super) async fn race<T, F>(attempts: Vec<Attempt<F>>, until: Until) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let count = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
    let head_start = HEAD_START.min(CONNECT_TIMEOUT / count.saturating_add(1));
    let mut failures = Vec::new();
    let mut successes: Vec<(usize, T)> = Vec::new();
    let mut compare_by: Option<Instant> = None;
    let mut waiting = attempts.into_iter().enumerate();
    let mut running = FuturesUnordered::new();
    loop {
        if let Some((number, attempt)) = waiting.next() {
            let Attempt { place, connecting } = attempt;
            running.push(async move { (number, place, connecting.await) });
            if compare_by.is_some() {
                continue;
            }
        } else if running.is_empty() {
            break;
        }
        let by = compare_by.unwrap_or_else(Instant::now);
        tokio::select! {
            Some((number, place, ended)) = running.next() => match ended {
                Ok(connected) => {
                    successes.push((number, connected));
                    if until == Until::First {
                        break;
                    }
                    compare_by.get_or_insert_with(|| Instant::now() + COMPARE_TIMEOUT);
                }
                Err(error) => failures.push((number, place, error)),
            },
            () = sleep(head_start), if waiting.len() > 0 => {}
            () = sleep_until(by), if compare_by.is_some() => break,
        }
    }
    if successes.is_empty() {
        return Err(all_failed(failures));
    }
    successes.sort_by_key(|(number, _)| *number);
    Ok(successes.into_iter().map(|(_, success)| success).collect())
}

/// Combines the errors of all attempts. Retryable if any of them is.
fn all_failed(mut failures: Vec<(usize, String, Error)>) -> Error {
    failures.sort_by_key(|(number, ..)| *number);
    if failures.len() == 1
        && let Some((.., error)) = failures.pop()
    {
        return error;
    }
    let outage = failures.is_empty() || failures.iter().any(|(.., error)| error.is_outage());
    let messages = failures.iter().map(|(_, place, error)| match error {
        Error::Unreachable(message) => format!("{place}: {message}"),
        error => format!("{place}: {error}"),
    });
    let messages = messages.collect::<Vec<_>>().join("; ");
    match (outage, messages.is_empty()) {
        (true, true) => Error::Unreachable("the host has no address".to_owned()),
        (true, false) => Error::Unreachable(messages),
        (false, _) => Error::Refused(messages),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::{Attempt, Error, Until, race};

    type Connecting = Pin<Box<dyn Future<Output = Result<u32, Error>>>>;

    fn attempts(all: Vec<Connecting>) -> Vec<Attempt<Connecting>> {
        let numbered = all.into_iter().enumerate();
        numbered
            .map(|(number, connecting)| Attempt {
                place: format!("h{number}"),
                connecting,
            })
            .collect()
    }

    fn never() -> Connecting {
        Box::pin(std::future::pending())
    }

    fn ready(result: Result<u32, Error>) -> Connecting {
        Box::pin(std::future::ready(result))
    }

    fn down() -> Result<u32, Error> {
        Err(Error::Unreachable("down".to_owned()))
    }

    fn wrong() -> Result<u32, Error> {
        Err(Error::Refused("wrong password".to_owned()))
    }

    async fn first_of(attempts: Vec<Attempt<Connecting>>) -> Result<u32, Error> {
        let mut connected = race(attempts, Until::First).await?;
        Ok(connected.remove(0))
    }

    #[tokio::test]
    async fn all_hosts_that_respond_are_compared() {
        let slow: Connecting = Box::pin(async {
            tokio::time::sleep(super::HEAD_START / 3).await;
            Ok(1)
        });
        let attempts = attempts(vec![
            ready(Ok(0)),
            ready(down()),
            slow,
            never(),
            ready(Ok(4)),
        ]);
        let connected = race(attempts, Until::All).await;
        assert_eq!(connected.expect("connections"), [0, 1, 4]);
    }

    #[tokio::test]
    async fn unresponsive_host_is_skipped() {
        let connected = first_of(attempts(vec![
            never(),
            never(),
            ready(down()),
            ready(Ok(3)),
        ]))
        .await;
        assert_eq!(connected.expect("a connection"), 3);
    }

    #[tokio::test]
    async fn live_host_is_used_regardless_of_its_position() {
        let slow: Connecting = Box::pin(async {
            tokio::time::sleep(super::HEAD_START * 2).await;
            Ok(0)
        });
        let connected = first_of(attempts(vec![slow, ready(down()), never()])).await;
        assert_eq!(connected.expect("a connection"), 0);
    }

    #[tokio::test]
    async fn connection_error_is_retryable_if_any_host_is() {
        let failed = first_of(attempts(vec![ready(wrong()), ready(down())])).await;
        let error = failed.expect_err("all failed");
        assert!(error.is_outage());
        let messages = error.to_string();
        assert_eq!(messages, "database: h0: wrong password; h1: down");
        let failed = first_of(attempts(vec![ready(wrong()), ready(wrong())])).await;
        assert!(matches!(failed, Err(Error::Refused(_))), "{failed:?}");
        let failed = first_of(attempts(vec![ready(wrong())])).await;
        assert_eq!(failed.expect_err("one").to_string(), "wrong password");
    }
}
