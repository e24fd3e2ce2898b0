//! The kinds of the tests as CRDs of another group: what a real kube-apiserver does with them is what
//! clients must see.

use anyhow::Result;
use kube_http::Client;
use scenarios::engine::kube_apiserver;
use scenarios::repository::{Repository, files_below};
use serde_json::Value;

/// Group that ark-apiserver serves.
pub(crate) const OURS: &str = "judge.example.com";
/// Group of the same kinds as CRDs. As long as the other, so that columns of tables are equal.
pub(crate) const PEER: &str = "kinds.example.com";

/// The two groups, ours first.
pub(crate) const GROUPS: [&str; 2] = [OURS, PEER];

/// Creates the CRDs and waits until they are served.
///
/// # Errors
/// If kube-apiserver rejects one.
pub(crate) async fn define(client: &Client, repository: &Repository) -> Result<()> {
    for file in files_below(&repository.test_kinds(), &["yaml"])? {
        let text = std::fs::read_to_string(&file)?.replace(OURS, PEER);
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
        kube_apiserver::define(client, &documents).await?;
    }
    Ok(())
}

/// A text with either group replaced by one name.
pub(crate) fn without_group(text: &str) -> String {
    text.replace(OURS, "GROUP").replace(PEER, "GROUP")
}

/// A widget of a group.
pub(crate) fn widget(group: &str, name: &str) -> Value {
    serde_json::json!({
        "apiVersion": format!("{group}/v1"), "kind": "Widget",
        "metadata": {"name": name}, "spec": {"size": 1, "replicas": 1},
    })
}

/// The path of widgets of a namespace.
pub(crate) fn widgets(group: &str, namespace: &str) -> String {
    format!("/apis/{group}/v1/namespaces/{namespace}/widgets")
}
