//! The gateways in front of the store that currently serves, as a load balancer provides them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ark_bench::client::Client;
use ark_bench::kubeconfig;
use async_trait::async_trait;
use http::Response;
use hyper::body::Incoming;
use kube_http::Kubeconfig;
use parking_lot::Mutex;
use tokio::time::Instant;
use workload::http::Settings;
use workload::{Call, CallError, Rejection, Workload};

use crate::NAMESPACE;

/// Timeout of each watch, short so that many are resumed.
const WATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Text in the objects that clients create, so that they have the size of the others.
const FILLER: usize = 2_000;

/// The gateways that clients know.
pub(super) struct Gateways {
    kubeconfig: PathBuf,
    known: Mutex<Vec<Known>>,
}

struct Known {
    authority: String,
    client: Arc<dyn workload::Client>,
}

// === impl Gateways ===

impl Gateways {
    /// Gateways for a kubeconfig's user; the server of the kubeconfig is the first.
    pub(super) fn new(kubeconfig: PathBuf) -> Result<Arc<Self>> {
        let first = kubeconfig::load(&kubeconfig)?.authority;
        let gateways = Self {
            kubeconfig,
            known: Mutex::default(),
        };
        gateways.add(first)?;
        Ok(Arc::new(gateways))
    }

    /// The first gateway.
    pub(super) fn first(&self) -> String {
        self.known.lock()[0].authority.clone()
    }

    /// Adds a gateway.
    pub(super) fn add(&self, authority: String) -> Result<()> {
        let mut config = Kubeconfig::load(&self.kubeconfig)?;
        config.server = format!("https://{authority}");
        let settings = Settings {
            namespace: NAMESPACE.to_owned(),
            filler: FILLER,
            watch_timeout: WATCH_TIMEOUT,
        };
        let client = workload::http::Client::new(kube_http::Client::new(&config, true)?, settings);
        let client = Arc::new(client);
        self.known.lock().push(Known { authority, client });
        Ok(())
    }

    /// Removes the first gateway, which has stopped.
    pub(super) fn remove_first(&self) {
        self.known.lock().remove(0);
    }

    /// Connects to a gateway with another client than those of the load.
    pub(super) async fn connect(&self, authority: String, connections: usize) -> Result<Client> {
        let mut endpoint = kubeconfig::load(&self.kubeconfig)?;
        endpoint.authority = authority;
        Client::connect(&endpoint, connections).await
    }
}

#[async_trait]
impl workload::Servers for Gateways {
    async fn connect(&self, turn: usize) -> (usize, Arc<dyn workload::Client>) {
        let known = self.known.lock();
        let index = turn % known.len();
        (index, Arc::clone(&known[index].client))
    }

    fn count(&self) -> usize {
        self.known.lock().len()
    }
}

/// Responses since `begun` that asked for a retry, each text once, with the time after `fenced`;
/// and their number.
pub(super) fn rejections(load: &Workload, begun: Instant, fenced: Instant) -> (usize, String) {
    let mut texts: Vec<String> = Vec::new();
    let mut count = 0;
    for Rejection { at, call, error } in load.rejections(begun) {
        let CallError::Retry {
            reason,
            message,
            after,
            ..
        } = error
        else {
            continue;
        };
        count += 1;
        let who = match call {
            Call::Write => "writers",
            Call::Read | Call::List | Call::Watch => "readers",
        };
        let after = after.map_or("none".to_owned(), |after| after.as_secs().to_string());
        let text = format!("{who}: {reason}, Retry-After {after}: {message}");
        if !texts.iter().any(|known| known.contains(&text)) {
            let since = at.saturating_duration_since(fenced).as_secs_f64();
            texts.push(format!("{text} ({since:.1} s after the fence)"));
        }
    }
    (count, texts.join(" | "))
}

/// The value of Retry-After.
pub(super) fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}
