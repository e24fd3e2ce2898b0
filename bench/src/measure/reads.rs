//! Lists: whole, from the cache, in pages, by label, as Table, metadata only.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Figure, Stopwatch};
use crate::client::Client;
use crate::processes::Processes;

/// kubectl's preferred media type for printing.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// Media type of the garbage collector's lists.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

/// One kind of list.
pub(crate) struct List {
    pub(crate) name: &'static str,
    query: &'static str,
    accept: &'static str,
    /// Expected objects, as a percentage of all.
    percent: usize,
}

/// All measured kinds of list.
pub(crate) const LISTS: &[List] = &[
    List {
        name: "list whole",
        query: "",
        accept: "application/json",
        percent: 100,
    },
    List {
        name: "list RV=0",
        query: "resourceVersion=0",
        accept: "application/json",
        percent: 100,
    },
    List {
        name: "list in pages of 500",
        query: "limit=500",
        accept: "application/json",
        percent: 100,
    },
    List {
        name: "list 1 % by label",
        query: "labelSelector=bench%3Drare",
        accept: "application/json",
        percent: 1,
    },
    List {
        name: "Table whole",
        query: "",
        accept: TABLE,
        percent: 100,
    },
    List {
        name: "Table in pages of 500",
        query: "limit=500",
        accept: TABLE,
        percent: 100,
    },
    List {
        name: "metadata only",
        query: "",
        accept: METADATA,
        percent: 100,
    },
];

/// The part of a response that proves its completeness.
#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    #[serde(default)]
    items: Vec<IgnoredAny>,
    #[serde(default)]
    rows: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: String,
}

impl List {
    /// Lists `times` times and measures; fails if a response is incomplete.
    pub(crate) async fn measure(
        &self,
        client: &Client,
        path: &str,
        objects: usize,
        times: usize,
        processes: &Processes,
    ) -> Result<Figure> {
        // The first request is not measured, so that both servers have warm caches.
        self.once(client, path, objects).await?;
        let stopwatch = Stopwatch::start(processes)?;
        let mut latencies = Vec::with_capacity(times);
        for _ in 0..times {
            latencies.push(self.once(client, path, objects).await?);
        }
        stopwatch.stop(
            format!("{} of {objects}", self.name),
            times as u64,
            latencies,
        )
    }

    async fn once(&self, client: &Client, path: &str, objects: usize) -> Result<Duration> {
        let started = Instant::now();
        let mut found = 0;
        let mut token = String::new();
        loop {
            let target = format!("{path}?{}{token}", self.query);
            let body = client.get_as(0, &target, self.accept).await?;
            let page: Page = serde_json::from_slice(&body).with_context(|| target.clone())?;
            found += page.items.len() + page.rows.len();
            if page.metadata.next.is_empty() {
                break;
            }
            token = format!("&continue={}", page.metadata.next);
        }
        let wanted = objects * self.percent / 100;
        ensure!(
            found == wanted,
            "{}: {found} objects instead of {wanted}",
            self.name
        );
        Ok(started.elapsed())
    }
}
