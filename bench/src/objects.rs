//! The objects of the load: Ark Queries of a chosen size as served.

use anyhow::Result;
use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::client::Client;

/// Path of the Queries in a namespace.
pub fn collection(namespace: &str) -> String {
    format!("/apis/ark.mckinsey.com/v1alpha1/namespaces/{namespace}/queries")
}

/// Path of the Queries of all namespaces.
pub const ALL: &str = "/apis/ark.mckinsey.com/v1alpha1/queries";

/// Makes Queries whose served JSON has a fixed size, including the fields that the server adds.
#[derive(Clone, Debug)]
pub struct Factory {
    padding: usize,
}

impl Factory {
    /// Determines the padding that makes a served object `bytes` long on this server.
    pub async fn calibrate(client: &Client, namespace: &str, bytes: usize) -> Result<Self> {
        let probe = Self { padding: 0 };
        let path = collection(namespace);
        let name = "calibration-00000";
        let served = client
            .write(
                0,
                Method::POST,
                &path,
                "application/json",
                probe.query(name, 0),
            )
            .await?
            .len();
        client
            .write(
                0,
                Method::DELETE,
                &format!("{path}/{name}"),
                "application/json",
                Bytes::new(),
            )
            .await?;
        Ok(Self {
            padding: bytes.saturating_sub(served),
        })
    }

    /// A Query; every hundredth has the label `bench=rare`.
    pub fn query(&self, name: &str, number: usize) -> Bytes {
        let rarity = if number.is_multiple_of(100) {
            "rare"
        } else {
            "common"
        };
        let text = "a question about storage ".repeat(self.padding / 25 + 1);
        let object = json!({
            "apiVersion": "ark.mckinsey.com/v1alpha1",
            "kind": "Query",
            "metadata": {"name": name, "labels": {"bench": rarity, "app": "bench"}},
            "spec": {
                "input": &text[..self.padding],
                "target": {"type": "agent", "name": "bench-agent"},
                "ttl": "720h",
            },
        });
        Bytes::from(object.to_string())
    }
}

/// A merge patch of the status, different for every number.
pub fn status_patch(number: usize) -> Bytes {
    let object = json!({"status": {"phase": "running", "duration": format!("{number}ms")}});
    Bytes::from(object.to_string())
}

/// The name of the object with this number.
pub fn name(prefix: &str, number: usize) -> String {
    format!("{prefix}-{number:06}")
}
