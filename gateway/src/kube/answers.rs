//! Answers of kube-apiserver: cached, and asked once for all requests that wait for the same one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use ring::hmac;
use tokio::time::{Instant, timeout};

use super::call::Error;
use super::expiring::Expiring;
use super::metrics::CacheMetrics;

/// Longest time that a question is asked for, whatever the deadlines of the requests that wait for
/// it: `sharedLookupTimeout` of `k8s.io/apiserver`.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);

/// A question by its keyed hash: questions contain tokens, which must not stay in memory, and
/// clients must not be able to choose colliding keys.
type Key = [u8; 32];

type Asked<V> = BoxFuture<'static, Result<V, Error>>;

/// A bounded cache of answers. Identical questions in flight are one request; it ends when no
/// caller waits for it.
pub struct Answers<V: Clone> {
    secret: hmac::Key,
    state: Mutex<State<V>>,
    metrics: Option<CacheMetrics>,
}

struct State<V: Clone> {
    known: Expiring<Key, V>,
    /// Bounded by the requests that wait for an answer.
    asked: HashMap<Key, (u64, WeakShared<Asked<V>>)>,
    asked_so_far: u64,
}

/// Removes a question from those in flight when dropped.
struct InFlight<V: Clone> {
    answers: Arc<Answers<V>>,
    key: Key,
    number: u64,
}

impl<V: Clone + Send + Sync + 'static> Answers<V> {
    /// A cache of up to `capacity` answers.
    pub fn new(capacity: usize, metrics: Option<CacheMetrics>) -> Arc<Self> {
        let secret: Key = rand::random();
        Arc::new(Self {
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            state: Mutex::new(State {
                known: Expiring::new(capacity),
                asked: HashMap::new(),
                asked_so_far: 0,
            }),
            metrics,
        })
    }

    /// The answer to a question: from the cache, from a request in flight, or from `ask`. An answer
    /// is cached for its `lifetime`; `None` and zero do not cache it.
    ///
    /// # Errors
    /// That of the request. Errors are not cached.
    pub async fn answer<F>(
        self: &Arc<Self>,
        question: &[u8],
        lifetime: impl FnOnce(&V) -> Option<Duration> + Send + 'static,
        ask: impl FnOnce() -> F,
    ) -> Result<V, Error>
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let began = Instant::now();
        let asked = match self.known_or_asked(question, lifetime, ask) {
            Ok(known) => {
                self.record(true, began);
                return Ok(known);
            }
            Err(asked) => asked,
        };
        let blocked = self.metrics.as_ref().map(CacheMetrics::blocked);
        let answer = asked.await;
        drop(blocked);
        self.record(false, began);
        answer
    }

    fn known_or_asked<F>(
        self: &Arc<Self>,
        question: &[u8],
        lifetime: impl FnOnce(&V) -> Option<Duration> + Send + 'static,
        ask: impl FnOnce() -> F,
    ) -> Result<V, Shared<Asked<V>>>
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let key = self.key(question);
        let mut state = self.state.lock();
        if let Some(known) = state.known.get(&key) {
            return Ok(known);
        }
        let in_flight = state.asked.get(&key);
        if let Some(asked) = in_flight.and_then(|(_, asked)| asked.upgrade()) {
            return Err(asked);
        }
        state.asked_so_far += 1;
        let number = state.asked_so_far;
        // Created here, so that it is dropped even if the question is never polled.
        let in_flight = InFlight {
            answers: Arc::clone(self),
            key,
            number,
        };
        let asked = in_flight.ask(lifetime, ask()).boxed().shared();
        // `downgrade` fails for a completed future only.
        if let Some(weak) = asked.downgrade() {
            state.asked.insert(key, (number, weak));
        }
        Err(asked)
    }

    fn key(&self, question: &[u8]) -> Key {
        let tag = hmac::sign(&self.secret, question);
        let mut key = Key::default();
        key.copy_from_slice(tag.as_ref());
        key
    }

    fn record(&self, hit: bool, began: Instant) {
        if let Some(metrics) = &self.metrics {
            metrics.answered(hit, began.elapsed());
        }
    }
}

impl<V: Clone + Send + Sync + 'static> InFlight<V> {
    async fn ask(
        self,
        lifetime: impl FnOnce(&V) -> Option<Duration> + Send,
        ask: impl Future<Output = Result<V, Error>> + Send,
    ) -> Result<V, Error> {
        let metrics = self.answers.metrics.as_ref();
        let fetching = metrics.map(CacheMetrics::fetching);
        let answer = timeout(LOOKUP_TIMEOUT, ask).await;
        let answer = answer.unwrap_or(Err(Error::Timeout(LOOKUP_TIMEOUT)));
        drop(fetching);
        if let Some(metrics) = metrics {
            metrics.fetched(answer.is_ok());
        }
        let lifetime = answer.as_ref().ok().and_then(lifetime);
        if let (Ok(answer), Some(lifetime)) = (&answer, lifetime)
            && !lifetime.is_zero()
        {
            let mut state = self.answers.state.lock();
            state.known.insert(self.key, answer.clone(), lifetime);
        }
        answer
    }
}

impl<V: Clone> Drop for InFlight<V> {
    fn drop(&mut self) {
        let mut state = self.answers.state.lock();
        // The same question may have been asked again since the last caller of this one left.
        if state
            .asked
            .get(&self.key)
            .is_some_and(|(number, _)| *number == self.number)
        {
            state.asked.remove(&self.key);
        }
    }
}

impl<V: Clone> fmt::Debug for Answers<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Answers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
