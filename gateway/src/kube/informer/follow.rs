//! One watch, restarted for as long as its task runs.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use ::kube::runtime::watcher::{self, Event, watcher};
use ::kube::{Api, Resource};
use backoff::Backoff;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// Pauses after failures, and the longest: `reflector` of client-go.
const FIRST_PAUSE: Duration = Duration::from_millis(800);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Interval at which everything is listed again, in case an event was lost; the resync of
/// `k8s.io/apiserver/pkg/server/dynamiccertificates/configmap_cafile_content.go`.
const RESYNC: Duration = Duration::from_secs(12 * 60 * 60);

/// Passes every event to `apply` until `stop` is cancelled. A failed list or watch is repeated after
/// a pause; `apply` then sees a new list, or the events from where it stopped. An error is logged
/// once, until another one or a success.
pub(in crate::kube) async fn follow<K>(
    what: &'static str,
    api: Api<K>,
    config: watcher::Config,
    stop: CancellationToken,
    mut apply: impl FnMut(Event<K>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let pauses = || Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let following = async {
        let mut pause = pauses();
        let mut logged = String::new();
        loop {
            let resync = Instant::now() + RESYNC;
            let mut events = pin!(watcher(api.clone(), config.clone()));
            while let Ok(Some(event)) = timeout_at(resync, events.next()).await {
                match event {
                    Ok(event) => {
                        // A list that begins is no success yet.
                        if !matches!(event, Event::Init) {
                            pause = pauses();
                            logged.clear();
                        }
                        apply(event);
                    }
                    Err(error) => {
                        let delay = pause.next_pause();
                        let seconds = delay.as_secs_f32();
                        let error = error.to_string();
                        if error != logged {
                            tracing::warn!(error, seconds, "cannot follow {what}, retrying");
                            logged = error;
                        }
                        sleep(delay).await;
                    }
                }
            }
        }
    };
    stop.run_until_cancelled(following).await;
}
