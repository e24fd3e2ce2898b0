//! An informer with client-go's rules (`Reflector.ListAndWatch`, tools/cache): which errors make it list
//! again, with which resourceVersion, and how long it pauses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube_http::Client;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{MEMORIES, state_of};
use crate::call::Call;

const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// client-go's pauses: 0.8 s, doubled up to 30 s.
const FIRST_PAUSE: Duration = Duration::from_millis(800);
const LAST_PAUSE: Duration = Duration::from_secs(30);

type States = BTreeMap<String, (String, String)>;

/// The informer's state, shared with the check.
#[derive(Clone, Debug, Default)]
pub(super) struct View(Arc<Mutex<States>>);

/// The informer.
pub(super) struct Reflector {
    client: Client,
    view: View,
    /// Version of the last event or list; empty before the first list.
    version: String,
    /// The server no longer has the version.
    expired: bool,
    pause: Duration,
}

/// Why a watch has ended.
enum End {
    /// Regularly: watch again from the last version.
    Closed,
    /// Retry the same watch after a pause.
    Retriable,
    /// List again, first with the last version, also after 410.
    Failed,
}

impl View {
    /// The first difference from the server's state.
    pub(super) fn difference(&self, expected: &States) -> Option<String> {
        let states = self.0.lock();
        let missing = expected
            .iter()
            .find(|(name, state)| states.get(*name) != Some(state));
        if let Some((name, state)) = missing {
            return Some(format!(
                "{name} is {:?} instead of {state:?}",
                states.get(name)
            ));
        }
        let extra = states.keys().find(|name| !expected.contains_key(*name));
        extra.map(|name| format!("{name} was deleted"))
    }
}

impl Reflector {
    pub(super) fn new(client: Client, view: View) -> Self {
        Self {
            client,
            view,
            version: String::new(),
            expired: false,
            pause: FIRST_PAUSE,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            if !self.list().await {
                self.back_off().await;
                continue;
            }
            self.pause = FIRST_PAUSE;
            loop {
                match self.watch().await {
                    End::Closed => {}
                    End::Retriable => self.back_off().await,
                    End::Failed => break,
                }
            }
        }
    }

    async fn back_off(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    /// Lists; a version that the server does not have leads to a second attempt without one.
    async fn list(&mut self) -> bool {
        for _ in 0..2 {
            let path = if self.expired || self.version.is_empty() {
                MEMORIES.to_owned()
            } else {
                format!("{MEMORIES}?resourceVersion={}", self.version)
            };
            let Ok(response) = Call::new("GET", &path).send(&self.client).await else {
                return false;
            };
            let too_large = response.message().contains("Too large resource version");
            match response.status {
                200 => {
                    let list = response.value();
                    let items = list["items"].as_array();
                    let states = items.into_iter().flatten().map(state_of).collect();
                    *self.view.0.lock() = states;
                    let version = list["metadata"]["resourceVersion"].as_str();
                    self.version = version.unwrap_or_default().to_owned();
                    self.expired = false;
                    return true;
                }
                410 => self.expired = true,
                504 if too_large => self.expired = true,
                _ => return false,
            }
        }
        false
    }

    async fn watch(&mut self) -> End {
        let path = format!(
            "{MEMORIES}?watch=1&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds=300",
            self.version
        );
        let sent = self.client.send("GET", &path, &[], Bytes::new());
        let Ok(Ok(response)) = timeout(HEAD_TIMEOUT, sent).await else {
            return End::Retriable;
        };
        match response.status().as_u16() {
            200 => {}
            429 | 500 => return End::Retriable,
            _ => return End::Failed,
        }
        let (mut body, mut buffer) = (response.into_body(), BytesMut::new());
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                buffer.extend_from_slice(data);
            }
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end + 1);
                let Ok(event) = serde_json::from_slice(&line) else {
                    return End::Failed;
                };
                match self.event(&event) {
                    Ok(()) => {}
                    Err(end) => return end,
                }
            }
        }
        End::Closed
    }

    fn event(&mut self, event: &Value) -> std::result::Result<(), End> {
        let object = &event["object"];
        let (name, state) = state_of(object);
        let mut states = self.view.0.lock();
        match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => {
                states.insert(name, state);
            }
            Some("DELETED") => {
                states.remove(&name);
            }
            Some("BOOKMARK") => {}
            _ => return Err(End::Failed),
        }
        drop(states);
        if let Some(version) = object["metadata"]["resourceVersion"].as_str() {
            self.version = version.to_owned();
        }
        Ok(())
    }
}
